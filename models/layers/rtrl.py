"""Real-time recurrent learning (Williams & Peng 1990, https://doi.org/10.1162/neco.1990.2.4.490) of Elman's cell.

h(t) = f(W v(t)),    v(t) = [x(t); h(t-1); 1],    W = [W_in, W_h, b]
P(t) = dh(t) / dW:    P_kij(t) = f'_k (sum_l W_h,kl P_lij(t-1) + delta_ki v_j(t))
dL(t) / dW_ij = sum_k dL(t)/dh_k(t) P_kij(t)

The gradient is that of back-propagation through all steps so far, but it is carried forward: it is known after every
step, nothing of the past is stored, and a network can learn while its sequence goes on. It costs O(H^3 (D + H)) a step.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.cells.elman import Elman


class Influence(NamedTuple):
    """h (B, H) and P (B, H, H, D + H + 1): how each weight has moved each unit."""

    h: Tensor
    p: Tensor


def begin_influence(cell: Elman, batch_size: int) -> Influence:
    """Before any step, when h is what the cell begins with and no weight has moved it."""
    h, width = cell.begin(batch_size).h, cell.weight_ih.shape[1] + cell.output_size + 1
    return Influence(h, h.new_zeros(batch_size, cell.output_size, cell.output_size, width))


@torch.no_grad()
def rtrl_step(cell: Elman, x: Tensor, before: Influence) -> Influence:
    """One step of the cell, x (B, D), with its influence. The weights may change between steps."""
    v = torch.cat((x, before.h, torch.ones_like(x[:, :1])), 1)  # (B, D + H + 1)
    p = torch.einsum("kl,blij->bkij", cell.weight_hh, before.p)
    p.diagonal(dim1=1, dim2=2).add_(v[:, :, None])  # (B, D + H + 1, H): the weights into a unit move it at once
    with torch.enable_grad():
        z = F.linear(x, cell.weight_ih, cell.bias_ih + cell.bias_hh) + F.linear(before.h, cell.weight_hh)
        h = cell.activation(z)
        (slope,) = torch.autograd.grad(h.sum(), z)
    return Influence(h.detach(), slope[:, :, None, None] * p)


def rtrl_gradients(cell: Elman, influence: Influence, to_h: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss at this step by each parameter of the cell, given that by h(t): `to_h` (B, H)."""
    of_w = torch.einsum("bk,bkij->ij", to_h, influence.p)
    size = cell.weight_ih.shape[1]
    of_bias = of_w[:, -1]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return dict(zip(names, (of_w[:, :size], of_w[:, size:-1], of_bias, of_bias), strict=True))
