"""Connectionist temporal classification (Graves et al. 2006, https://doi.org/10.1145/1143844.1143891)."""

import torch.nn.functional as F
from torch import Tensor

from models.interface import Loss, Padded
from models.special_tokens import BLANK


def ctc(emissions: Padded, target: Padded) -> Loss:
    """-log of the summed probability of every alignment that collapses to the target.

    emissions: log-probabilities (B, T, V), normalized over V. target: ids (B, U) without blanks.
    The count is the number of target tokens. An infeasible target adds nothing to total and gradient.
    """
    log_probs = emissions.data.transpose(0, 1)  # torch wants (T, B, V)
    total = F.ctc_loss(
        log_probs.float() if log_probs.itemsize < 4 else log_probs,  # half precision has no kernel
        target.data,
        emissions.lengths,
        target.lengths,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )
    return Loss(total, target.lengths.sum())


def min_input_length(target: Padded) -> Tensor:
    """(B,) the fewest output steps that can carry each target: its tokens, and a blank between equal neighbors."""
    repeats = (target.data[:, 1:] == target.data[:, :-1]) & target.mask()[:, 1:]
    return target.lengths + repeats.sum(1).to(target.lengths.device)
