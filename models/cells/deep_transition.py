"""Deep transitions and outputs (Pascanu et al. 2014, https://arxiv.org/abs/1312.6026, section 3.3).

z_1  = f(W_1 h(t-1) + U x(t) + b)            z_l = f(W_l z_{l-1} + b_l)            h(t) = z_L           DT-RNN
h(t) = f(W_L z_{L-1} + b_L + S h(t-1))       a shortcut past the layers between                         DT(S)-RNN
y(t) = f(V_K ... f(V_1 h(t)))                a deep output, K > 0                                       DOT, DOT(S)

L = 1 and K = 0 is Elman's cell. With input_size 0 the input comes driven: U x(t) + b.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.elman_jordan import ACTIVATIONS, Nonlinearity, RNNState
from models.cells.step_loop import SteppedCell
from models.layers.weight_init import init_lecun, without


@dataclass(frozen=True, kw_only=True)
class Config:
    """depth: L. shortcut: the matrix S. output_depth: K. nonlinearity: f."""

    depth: int = 2
    shortcut: bool = False
    output_depth: int = 0
    nonlinearity: Nonlinearity = "tanh"

    def __post_init__(self) -> None:
        if self.depth < 1 or self.output_depth < 0:
            raise ValueError("transition.depth is at least 1 and transition.output_depth at least 0")
        if self.shortcut and self.depth == 1:
            raise ValueError("transition.shortcut skips the layers of a transition: its depth must be 2 or more")
        if self.nonlinearity not in ACTIVATIONS:
            raise ValueError(f"transition.nonlinearity is one of {', '.join(ACTIVATIONS)}, not {self.nonlinearity!r}")


class DeepTransition(SteppedCell):
    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.output_size, self.state_sizes = hidden_size, (hidden_size,)
        self.activation, self.driven = ACTIVATIONS[config.nonlinearity], not input_size
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.weight_hh_short = nn.Parameter(torch.empty(hidden_size, hidden_size)) if config.shortcut else None
        deep = range(config.depth - 1)
        self.weight_hh_deep = nn.ParameterList(torch.empty(hidden_size, hidden_size) for _ in deep)
        self.bias_hh_deep = nn.ParameterList(torch.empty(hidden_size) for _ in deep)
        if self.driven:
            without(self, "weight_ih", "bias_ih")
        for module in (self, self.weight_hh_deep, self.bias_hh_deep):
            init_lecun(module, hidden_size)
        self.output = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(config.output_depth))

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch_size, self.output_size))

    def drive(self, x: Tensor) -> Tensor:
        return x if self.driven else F.linear(x, self.weight_ih, self.bias_ih)

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        z = torch.addmm(driven, state.h, self.weight_hh.t())
        for weight, bias in zip(self.weight_hh_deep, self.bias_hh_deep, strict=True):
            z = F.linear(self.activation(z), weight, bias)
        if self.weight_hh_short is not None:
            z = torch.addmm(z, state.h, self.weight_hh_short.t())
        return RNNState(self.activation(z))

    def read(self, state: RNNState) -> Tensor:
        y = state.h
        for layer in self.output:
            y = self.activation(layer(y))
        return y
