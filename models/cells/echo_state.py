"""The reservoir of an echo state network (Jaeger 2001, https://doi.org/10.24406/publica-fhg-291111): random and fixed.

h(t) = (1 - a) h(t-1) + a tanh(W_in x(t) + W_h h(t-1))

a: the leak. W_h is sparse and scaled to a spectral radius: below 1 the state forgets where it began (the echo state
property, for a = 1 in practice). Nothing here is trained; only what reads the state is.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.cells.elman_jordan import RNNState
from models.cells.interpolate import interpolate
from models.cells.step_loop import SteppedCell


@dataclass(frozen=True, kw_only=True)
class Config:
    """leak: a. density: the share of non-zero entries of W_h. input_scale: W_in is drawn from U(-scale, scale)."""

    spectral_radius: float = 0.9
    leak: float = 1.0
    density: float = 0.1
    input_scale: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.leak <= 1 and 0 < self.density <= 1):
            raise ValueError("echo.leak and echo.density are in (0, 1]")
        if self.spectral_radius <= 0 or self.input_scale <= 0:
            raise ValueError("echo.spectral_radius and echo.input_scale are above 0")


class EchoState(SteppedCell):
    """The matrices are buffers: saved with a model and moved with it, but no parameters."""

    weight_ih: Tensor
    weight_hh: Tensor

    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.leak = config.leak
        self.output_size, self.state_sizes = hidden_size, (hidden_size,)
        bound = config.input_scale
        self.register_buffer("weight_ih", torch.empty(hidden_size, input_size).uniform_(-bound, bound))
        self.register_buffer("weight_hh", reservoir(hidden_size, config.density, config.spectral_radius))

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.weight_hh.new_zeros(batch_size, self.output_size))

    def drive(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_ih)

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        now = torch.addmm(driven, state.h, self.weight_hh.t()).tanh()
        return RNNState(now if self.leak == 1 else interpolate(state.h, now, self.leak))

    def read(self, state: RNNState) -> Tensor:
        return state.h


def reservoir(size: int, density: float, spectral_radius: float) -> Tensor:
    """A random matrix (size, size) with that share of non-zero entries and that largest absolute eigenvalue."""
    entries = torch.empty(size, size).uniform_(-1, 1)
    entries = entries * (torch.rand(size, size) < density)
    radius = torch.linalg.eigvals(entries).abs().max()
    # a tiny sparse matrix may have no cycle, and so no eigenvalue but 0: it stays as it is
    return entries * torch.where(radius > 1e-6, spectral_radius / radius, torch.ones_like(radius))
