"""Linear read-outs in closed form: ridge regression from two sums, as for echo state networks.

W = (S' S + penalty I)^-1 S' Y      of states S (N, F) and targets Y (N, K)

It minimizes |S W - Y|^2 + penalty |W|^2. Both sums are taken as the states pass, which are not kept (Lukosevicius 2012,
https://doi.org/10.1007/978-3-642-35289-8_36, sections 4.2 and 4.3). With Y one-hot, S W estimates the probabilities of
the classes (Richard & Lippmann 1991, https://doi.org/10.1162/neco.1991.3.4.461), but may leave [0, 1]; so here

p = max(S W, floor) / sum max(S W, floor)
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from models.interface import Batch, State


class Moments(NamedTuple):
    gram: Tensor  # (F, F) S' S
    cross: Tensor  # (F, K) S' Y


class ClosedForm(Protocol):
    """A `LanguageModel` whose weights follow from sums over the training text: one pass, no gradient.

    Its config says `closed_form`.
    """

    def moments(self, batch: Batch, state: State | None) -> tuple[Moments, State]:
        """A batch's part of the sums, in float64, and the state after it; `state` as in `LanguageModel.advance`."""
        ...

    def solve(self, moments: Moments) -> None:
        """Set the weights from the sums over all batches."""
        ...


def moments(states: Tensor, targets: Tensor) -> Moments:
    """Of states (N, F) and targets (N, K), in float64."""
    states = states.double()
    return Moments(states.mT @ states, states.mT @ targets.double())


def ridge(moments: Moments, penalty: float) -> Tensor:
    """The read-out W (F, K). Raises ValueError unless penalty > 0, which makes it the only one."""
    if penalty <= 0:
        raise ValueError(f"the penalty of a ridge regression is above 0, not {penalty}")
    gram = moments.gram.clone()
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(moments.cross, torch.linalg.cholesky(gram))


class LinearProbabilities(nn.Linear):
    """max(W s + b, floor), as logits: its softmax is p."""

    def __init__(self, in_features: int, out_features: int, floor: float) -> None:
        super().__init__(in_features, out_features)
        self.floor = floor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        return super().forward(input).clamp(min=self.floor).log()
