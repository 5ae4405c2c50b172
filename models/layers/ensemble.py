"""Networks that answer together (Hansen & Salamon 1990, https://doi.org/10.1109/34.58871)."""

import math

import torch
from torch import Tensor


def mean_of_probabilities(said: list[Tensor]) -> Tensor:
    """The log-probabilities (..., V) of each network to those of their mean (..., V)."""
    return torch.stack(said).logsumexp(0) - math.log(len(said))
