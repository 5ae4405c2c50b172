"""Unitary evolution (Arjovsky, Shah & Bengio 2016, https://arxiv.org/abs/1511.06464): |W h| = |h|, over any time.

W = D_3 R_2 F^-1 D_2 P R_1 F D_1                            equation 6
h_t = modReLU(W h_{t-1} + V x_t)                            of complex numbers
modReLU(z) = relu(|z| + b) z / |z|                          equation 8

D diag(e^{i w}); R = I - 2 v v* / |v|^2 a reflection; F the unitary Fourier transform; P a fixed permutation. The cell's
input comes driven, V x_t, and its state begins at h_0, which is learned. Real and imaginary parts stand side by side:
2 n features for n complex ones. w from U(-pi, pi), v from U(-1, 1), h_0 from U(-sqrt(3/2n), sqrt(3/2n)), b = 0.
"""

import math

import torch
from torch import Tensor, nn

from models.cells.elman_jordan import RNNState
from models.cells.step_loop import SteppedCell, scan_steps

LEAST = 1e-5  # |z|^2 is taken to be that much larger, so that z = 0 has a gradient


class Unitary(SteppedCell):
    """hidden_size: n. Its outputs are h (B, 2 n)."""

    permutation: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size, self.output_size, self.state_sizes = hidden_size, 2 * hidden_size, (2 * hidden_size,)
        self.phases = nn.Parameter(torch.empty(3, hidden_size).uniform_(-math.pi, math.pi))
        self.reflections = nn.Parameter(torch.empty(2, 2, hidden_size).uniform_(-1, 1))  # of each real and imaginary
        most = (3 / (2 * hidden_size)) ** 0.5
        self.start = nn.Parameter(torch.empty(2 * hidden_size).uniform_(-most, most))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.register_buffer("permutation", torch.randperm(hidden_size))

    def begin(self, batch_size: int) -> RNNState:
        return RNNState(self.start.expand(batch_size, -1))

    def drive(self, x: Tensor) -> Tensor:
        return x

    def matrix(self) -> Tensor:
        """(2 n, 2 n), what a row [Re h, Im h] is multiplied with to be W h."""
        turns = torch.polar(torch.ones_like(self.phases), self.phases)
        first, second = torch.complex(self.reflections[:, 0], self.reflections[:, 1])
        x = torch.eye(self.hidden_size, dtype=turns.dtype, device=turns.device)
        x = _reflect(torch.fft.fft(x * turns[0], norm="ortho"), first)[:, self.permutation]
        x = _reflect(torch.fft.ifft(x * turns[1], norm="ortho"), second) * turns[2]
        return torch.cat((torch.cat((x.real, x.imag), 1), torch.cat((-x.imag, x.real), 1)), 0)

    def step(self, driven: Tensor, state: RNNState) -> RNNState:
        return self._step(driven, state, self.matrix())

    def _step(self, driven: Tensor, state: RNNState, matrix: Tensor) -> RNNState:
        z = torch.addmm(driven, state.h, matrix)
        real, imaginary = z.chunk(2, 1)
        scale = (1 + self.bias * (real.square() + imaginary.square() + LEAST).rsqrt()).relu()
        return RNNState(z * torch.cat((scale, scale), 1))

    def scan(self, driven: Tensor, state: RNNState) -> RNNState:
        matrix = self.matrix()
        return scan_steps(lambda at, before: self._step(at, before, matrix), driven, state)

    def read(self, state: RNNState) -> Tensor:
        return state.h


def _reflect(x: Tensor, v: Tensor) -> Tensor:
    """Each row of x (B, n) reflected at v (n,)."""
    along = (x * v.conj()).sum(1, keepdim=True)
    return x - 2 * along * v / (v.real.square() + v.imag.square()).sum()
