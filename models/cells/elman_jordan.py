"""The plain recurrences of Elman and Jordan.

h(t) = f(W_in x(t) + W_h h(t-1) + W_back y(t-1) + b_h)
y(t) = g(W_out h(t) + b_y)

Elman 1990 (https://doi.org/10.1207/s15516709cog1402_1): W_back = 0. The cell exposes h; W_out is the layer above.
Jordan 1986: W_h = 0; the state is the output y, with g = f here.
IRNN (Le et al. 2015, https://arxiv.org/abs/1504.00941): Elman with f = relu and W_h the identity at first.
Parameters are named and laid out as in nn.RNNCell. With input_size 0 the input comes driven: W_in x(t) + b.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.clipped_relu import clipped_relu, scan_clipped
from models.cells.step_loop import SteppedCell, scan_steps
from models.interface import State
from models.layers.weight_init import init_lecun, without

Nonlinearity = Literal["tanh", "relu", "clipped_relu"]


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "clipped_relu": clipped_relu,
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """nonlinearity: f."""

    nonlinearity: Nonlinearity = "tanh"

    def __post_init__(self) -> None:
        if self.nonlinearity not in ACTIVATIONS:
            raise ValueError(f"nonlinearity is one of {', '.join(ACTIVATIONS)}, not {self.nonlinearity!r}")


class RNNState(NamedTuple):
    h: Tensor  # (B, H)


class Elman(SteppedCell):
    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size, self.state_sizes = hidden_size, (hidden_size,)
        self.activation, self.driven = ACTIVATIONS[config.nonlinearity], not input_size
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(hidden_size))
        if self.driven:
            without(self, "weight_ih", "bias_ih", "bias_hh")
        init_lecun(self, hidden_size)

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch_size, self.output_size))

    def drive(self, x: Tensor) -> Tensor:
        return x if self.driven else F.linear(x, self.weight_ih, self.bias_ih + self.bias_hh)

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        return RNNState(self.activation(torch.addmm(driven, state.h, self.weight_hh.t())))

    def read(self, state: RNNState) -> Tensor:
        return state.h

    def scan(self, driven: Tensor, state: RNNState) -> State:
        if self.activation is clipped_relu:
            return RNNState(scan_clipped(driven[None], self.weight_hh[None], state.h[None])[0])
        return scan_steps(self.step, driven, state)


class Jordan(SteppedCell):
    """Both layers have H units, so that the cell can take another's place."""

    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size, self.state_sizes = hidden_size, (hidden_size,)
        self.activation, self.driven = ACTIVATIONS[config.nonlinearity], not input_size
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))  # W_back
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.weight_out = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_out = nn.Parameter(torch.empty(hidden_size))
        if self.driven:
            without(self, "weight_ih", "bias_ih")
        init_lecun(self, hidden_size)

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch_size, self.output_size))

    def drive(self, x: Tensor) -> Tensor:
        return x if self.driven else F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        h = self.activation(torch.addmm(driven, state.h, self.weight_hh.t()))
        return RNNState(self.activation(F.linear(h, self.weight_out, self.bias_out)))

    def read(self, state: RNNState) -> Tensor:
        return state.h
