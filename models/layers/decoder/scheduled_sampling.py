"""Scheduled sampling: what a decoder reads while it trains is the truth, or what it would have written.

Each token that is read is the truth with probability eps, by the updates i done so far (Bengio et al. 2015,
https://arxiv.org/abs/1506.03099, section 2.4):

constant          eps_i = 1 - rate
linear            eps_i = max(1 - rate, 1 - slope i)
exponential       eps_i = max(1 - rate, k^i),  k < 1
inverse_sigmoid   eps_i = max(1 - rate, k / (k + exp(i / k))),  k >= 1

rate: the largest share of sampled tokens; 0 is teacher forcing.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

Decay = Literal["constant", "linear", "exponential", "inverse_sigmoid"]


@runtime_checkable
class Scheduled(Protocol):
    """A model whose training depends on how far it has come: before each update the loop says how many there were."""

    def set_updates(self, updates: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """rate: see above. slope: of the linear decay. k: of the exponential and the inverse sigmoid."""

    rate: float = 0.0
    decay: Decay = "constant"
    slope: float = 0.0
    k: float = 0.0

    def __post_init__(self) -> None:
        if self.decay not in get_args(Decay):
            raise ValueError(f"sampling.decay is one of {', '.join(get_args(Decay))}, not {self.decay!r}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"sampling.rate is in [0, 1], not {self.rate}")
        if (self.decay == "linear") != (self.slope != 0) or self.slope < 0:
            raise ValueError(f"sampling.slope is of the linear decay, above 0, and of no other: {self.slope}")
        ranges = {"exponential": 0 < self.k < 1, "inverse_sigmoid": 1 <= self.k < math.inf}
        if not ranges.get(self.decay, self.k == 0):
            raise ValueError(
                "sampling.k is below 1 for the exponential decay, 1 or more for the inverse sigmoid, and of no other"
            )

    def share(self, updates: int) -> float:
        """Of the tokens that are sampled, 1 - eps, after so many updates."""
        if self.decay == "linear":
            return min(self.rate, self.slope * updates)
        if self.decay == "exponential":
            return min(self.rate, 1 - self.k**updates)
        if self.decay == "inverse_sigmoid":  # k / (k + e^x) = 1 / (1 + e^(x - log k))
            return min(self.rate, 1 / (1 + math.exp(min(700.0, math.log(self.k) - updates / self.k))))
        return self.rate


@torch.no_grad()
def draw_tokens(logits: Tensor) -> Tensor:
    """A token (...) of the distributions (..., V); by Gumbel's maximum, from torch's own generator."""
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)


def mix_tokens(truth: Tensor, drawn: Tensor, share: float) -> Tensor:
    """`drawn` in so great a share of places, the truth in the others."""
    coin = torch.rand(truth.shape, device=truth.device)
    return torch.where(coin < share, drawn, truth)
