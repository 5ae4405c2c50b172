"""Cross-entropy of aligned predictions, with label smoothing.

L = sum over the real targets y of (1 - s) (-log p(y)) + s / V sum_v (-log p(v)),    p = softmax(logits)

s: Szegedy et al. 2016 (https://arxiv.org/abs/1512.00567), section 7.
"""

import torch.nn.functional as F
from torch import Tensor

from models.interface import Batch, Loss, Padded
from models.special_tokens import BOS, EOS

IGNORED = -100  # what torch's cross-entropy skips


def cross_entropy(logits: Tensor, target: Padded, smoothing: float = 0.0) -> Loss:
    """The loss of logits (B, T, V) for target ids (B, T), in nats."""
    labels = target.data.masked_fill(~target.mask(), IGNORED).flatten()
    rows = logits.flatten(0, 1)
    total = F.cross_entropy(rows, labels, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing)
    return Loss(total, target.lengths.sum().to(logits.device))


def shift_targets(batch: Batch) -> tuple[Padded, Padded]:
    """What a language model reads (B, T), and what it should predict at each step.

    A batch without a source holds sentences: BOS y_1 .. y_U predicts y_1 .. y_U EOS. Else source and target are
    aligned already. Raises ValueError where they are not of one shape.
    """
    if batch.source is None:
        return prepend_bos(batch.target), append_eos(batch.target)
    if batch.source.data.shape != batch.target.data.shape:
        shapes = f"{tuple(batch.source.data.shape)} and {tuple(batch.target.data.shape)}"
        raise ValueError(f"a stream's source and target have one shape (B, T), not {shapes}")
    return batch.source, batch.target


def prepend_bos(target: Padded) -> Padded:
    """BOS y_1 .. y_U of y (B, U)."""
    return Padded(F.pad(target.data, (1, 0), value=BOS), target.lengths + 1)


def append_eos(target: Padded) -> Padded:
    """y_1 .. y_U EOS of y (B, U)."""
    ends = target.lengths.to(target.data.device)[:, None]
    return Padded(F.pad(target.data, (0, 1)).scatter(1, ends, EOS), target.lengths + 1)
