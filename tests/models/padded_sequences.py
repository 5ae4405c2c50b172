"""Sequences of different lengths, and batches of them whose padding would show if it were read."""

import torch

from models.interface import Padded

LENGTHS = (7, 3, 1, 5)


def sequences(*features):
    torch.manual_seed(4)
    return [torch.randn(n, *features, dtype=torch.float64) for n in LENGTHS]


def littered(rows):
    """A padded batch whose padding would show if it were read."""
    x = Padded.stack(rows, fill=99.0)
    return Padded(x.data.requires_grad_(), x.lengths)
