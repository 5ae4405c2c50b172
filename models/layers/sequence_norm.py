"""Sequence-wise batch normalization: one mean and variance a feature, over all real steps of the batch."""

import torch.nn.functional as F
from torch import Tensor, nn

from models.interface import Padded


class SequenceNorm(nn.Module):
    """Amodei et al. 2015, section 3.2: y = gamma (x - E[x]) / (Var[x] + epsilon)^1/2 + beta.

    Training uses the statistics of the batch's real steps and keeps running ones, which evaluation uses.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x: Padded) -> Padded:
        """(B, T, D) or (B, T, D, bands), where a feature's bands share its statistics; padding comes out as zero."""
        rows = x.data.flatten(0, 1)
        real = x.mask().flatten().nonzero().squeeze(1)
        if len(real) == len(rows):
            return Padded(self._normalize(rows).view_as(x.data), x.lengths)
        known = self._normalize(rows.index_select(0, real))
        spread = known.new_zeros(rows.shape).index_copy(0, real, known)
        return Padded(spread.view_as(x.data), x.lengths)

    def _normalize(self, rows: Tensor) -> Tensor:
        norm = self.norm
        if rows[:, 0].numel() > 1:
            return norm(rows)
        # one value has no variance: a lone one-step utterance must not end a training run
        return F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
