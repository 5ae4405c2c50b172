"""Real-time recurrent learning (Williams & Peng 1990, https://doi.org/10.1162/neco.1990.2.4.490) of Elman's cell.

h(t) = f(W v(t)),    v(t) = [x(t); h(t-1); 1],    W = [W_in, W_h, b]
P(t) = dh(t) / dW:    P_kij(t) = f'_k (sum_l W_h,kl P_lij(t-1) + delta_ki v_j(t))
dL(t) / dW_ij = sum_k dL(t)/dh_k(t) P_kij(t)

The gradient is that of back-propagation through all steps so far, but it is carried forward, in the state: it is known
after every step, nothing of the past is stored, and a network can learn while its sequence goes on. It costs
O(H^3 (D + H)) a step. With `chunks.carried` and `chunks.length=1` there is an update after each step; a longer chunk
keeps P(t) for each of its steps until its update.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.cells.elman_jordan import Elman
from models.cells.step_loop import scan_steps
from models.interface import State
from models.search.state_pytree import tree_map


class Influence(NamedTuple):
    """The state in training: h (B, H) and P (B, H, H, D + H + 1), how each weight has moved each unit."""

    h: Tensor
    p: Tensor


class RealTimeElman(Elman):
    """Elman's cell, whose gradient in training is RTRL's; in evaluation it is Elman's cell.

    What it reads gets no gradient, for that would need an influence too. Raises ValueError for an input with one.
    """

    def begin(self, batch_size: int) -> State:
        start = super().begin(batch_size)
        if not self.training:
            return start
        width = self.weight_ih.shape[1] + self.output_size + 1
        return Influence(start.h, start.h.new_zeros(batch_size, self.output_size, self.output_size, width))

    def drive(self, x: Tensor) -> Tensor:
        return x if self.training else super().drive(x)  # the influence is of what the cell reads

    def step(self, driven: Tensor, state: State) -> State:
        if not self.training:
            return super().step(driven, state)
        return tree_map(lambda leaf: leaf[0], self.scan(driven[None], state))

    def scan(self, driven: Tensor, state: State) -> State:
        if not self.training:
            return scan_steps(super().step, driven, state)
        if driven.requires_grad:
            raise ValueError("elman_rtrl gives no gradient to what is below it: it reads frames or one-hot tokens")
        with (
            torch.no_grad(),
            torch.autocast(driven.device.type, enabled=False),
        ):  # errors of a sum over all steps add up
            states = scan_steps(self._carry, driven, state)
        weight = torch.cat((self.weight_ih, self.weight_hh, (self.bias_ih + self.bias_hh)[:, None]), 1)
        return Influence(Influenced.apply(weight, *states), states.p)

    def _carry(self, x: Tensor, before: State) -> State:
        """One step, x (B, D). The weights may have changed since the last one."""
        v = torch.cat((x, before.h, torch.ones_like(x[:, :1])), 1)  # (B, D + H + 1)
        with torch.enable_grad():
            z = Elman.drive(self, x) + F.linear(before.h, self.weight_hh)
            h = self.activation(z)
            (slope,) = torch.autograd.grad(h.sum(), z)
        p = torch.bmm(slope[:, :, None] * self.weight_hh, before.p.flatten(2)).view_as(before.p)
        p.diagonal(dim1=1, dim2=2).add_(slope[:, None] * v[:, :, None])  # (B, D + H + 1, H): weights into a unit
        return Influence(h.detach(), p)


class Influenced(torch.autograd.Function):
    """The identity of h (T, B, H) whose gradient goes to W (H, D + H + 1) by P (T, B, H, H, D + H + 1)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, h: Tensor, p: Tensor) -> Tensor:
        del weight  # what moved h, by P
        ctx.save_for_backward(p)
        return h.clone()

    @staticmethod
    def backward(ctx: Any, to_h: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (p,) = ctx.saved_tensors
        return torch.einsum("tbk,tbkij->ij", to_h.to(p.dtype), p), None, None
