"""Gated recurrent unit (Cho et al. 2014, https://arxiv.org/abs/1406.1078), the reset inside or outside the product.

R = sigma(W_r x + U_r h(t-1) + b_r)                             Z = sigma(W_z x + U_z h(t-1) + b_z)
n = tanh(W_n x + b_n + R * (U_n h(t-1) + c_n))                  outside the matrix product (the lecture, torch, cuDNN)
n = tanh(W_n x + b_n + U_n (R * h(t-1)) + c_n)                  inside it (the paper)
h = Z * h(t-1) + (1 - Z) * n

Layer normalized: LN(W x) + LN(U h) in place of W x + U h, with one normalization for both gates and one for n; the
biases of each sum are one here. With the reset outside, R * (LN(U_n h) + c_n), that is the GRU of Ba et al. 2016
(https://arxiv.org/abs/1607.06450, supplement; their z is 1 - Z); with the reset inside it is Cho et al.'s, normalized.
Parameters are named and laid out as in nn.GRUCell: rows of R, Z, n. With input_size 0 the input comes driven, W x + b
(in place of LN(W x) + b where that is normalized), and there is no bias c_n.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.elman_jordan import RNNState
from models.cells.interpolate import interpolate
from models.cells.step_loop import SteppedCell
from models.layers.weight_init import init_lecun, without


@dataclass(frozen=True, kw_only=True)
class Config:
    """reset: where R acts, outside or inside the matrix product. layer_norm: both summands normalized."""

    reset: Literal["outside", "inside"] = "outside"
    layer_norm: bool = False

    def __post_init__(self) -> None:
        if self.reset not in ("outside", "inside"):
            raise ValueError(f"reset is outside or inside (the matrix product), not {self.reset!r}")


class GRU(SteppedCell):
    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.inside, self.driven = config.reset == "inside", not input_size
        self.output_size, self.state_sizes = hidden_size, (hidden_size,)
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(3 * hidden_size))
        if self.driven:
            without(self, "weight_ih", "bias_ih", "bias_hh")
        init_lecun(self, hidden_size)
        self.norms = nn.ModuleDict()
        if config.layer_norm:
            for name in ("hh",) if self.driven else ("ih", "hh"):
                self.norms[f"gates_{name}"] = nn.LayerNorm(2 * hidden_size, bias=False)
                self.norms[f"unit_{name}"] = nn.LayerNorm(hidden_size, bias=False)

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch_size, self.output_size))

    def drive(self, x: Tensor) -> Tensor:
        if self.driven:
            return x
        if not self.norms:
            return F.linear(x, self.weight_ih, self.bias_ih)
        gates, unit = F.linear(x, self.weight_ih).split((2 * self.output_size, self.output_size), -1)
        return torch.cat((self.norms["gates_ih"](gates), self.norms["unit_ih"](unit)), -1) + self.bias_ih

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        h, sizes = state.h, (2 * self.output_size, self.output_size)
        driven_gates, driven_unit = driven.split(sizes, 1)
        of_gates, of_unit = self.weight_hh.split(sizes)
        bias_gates, bias_unit = (None, None) if self.driven else self.bias_hh.split(sizes)
        if self.inside:
            r, z = self._gates(driven_gates, F.linear(h, of_gates), bias_gates)
            recurrent = self._sum("unit_hh", F.linear(r * h, of_unit), bias_unit)
        else:
            gates, unit = F.linear(h, self.weight_hh).split(sizes, 1)
            r, z = self._gates(driven_gates, gates, bias_gates)
            recurrent = r * self._sum("unit_hh", unit, bias_unit)
        n = (driven_unit + recurrent).tanh()
        return RNNState(interpolate(n, h, z))

    def _gates(self, driven: Tensor, recurrent: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        r, z = (driven + self._sum("gates_hh", recurrent, bias)).sigmoid().chunk(2, 1)
        return r, z

    def _sum(self, name: str, product: Tensor, bias: Tensor | None) -> Tensor:
        """U h, normalized or not, and its bias."""
        normed = self.norms[name](product) if self.norms else product
        return normed if bias is None else normed + bias

    def read(self, state: RNNState) -> Tensor:
        return state.h


def scan_gru(driven: Tensor, weight: Tensor, h: Tensor) -> Tensor:
    """All h_t (G, T, B, H) of G plain cells side by side: driven (G, T, B, 3 H), U (G, 3 H, H), h_0 (G, B, H)."""
    size, turned = weight.shape[2], weight.to(driven.dtype).transpose(1, 2).contiguous()
    h, states = h.to(driven.dtype), []
    for now in driven.unbind(1):
        u = torch.bmm(h, turned)
        r, z = (now[..., : 2 * size] + u[..., : 2 * size]).sigmoid().chunk(2, -1)
        h = torch.lerp((now[..., 2 * size :] + r * u[..., 2 * size :]).tanh(), h, z)
        states.append(h)
    return torch.stack(states, 1)
