"""Each sequence of a padded batch from its own end to its beginning, padding where it was.

The forward direction of a recurrent layer runs on the right-padded batch, where padding comes after all real steps; the
backward direction runs the same way on each sequence reversed within its own length. Both are blind to padding, exact
for sequences of different lengths and need no packing.
"""

from typing import Any

import torch
from torch import Tensor

from models.interface import Padded


def reversal_order(x: Padded) -> Tensor:
    """(B T,) the row that each row of x.data.flatten(0, 1) swaps places with: padding stays where it is."""
    batch, time = x.data.shape[:2]
    steps = torch.arange(time, device=x.data.device).expand(batch, time)
    mirrored = torch.where(x.mask(), x.lengths.to(steps.device)[:, None] - 1 - steps, steps)
    return (mirrored + time * torch.arange(batch, device=steps.device)[:, None]).flatten()


def permute_rows(x: Tensor, order: Tensor) -> Tensor:
    """(B, T, D) with the rows of its flattened batch and time in another `order`, which is its own inverse."""
    permuted: Tensor = _Permute.apply(x, order)  # pyright: ignore[reportAssignmentType]
    return permuted


class _Permute(torch.autograd.Function):
    """index_select whose gradient is an index_select too, instead of a slow index_add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.flatten(0, 1).index_select(0, order).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return permute_rows(grads[0], order), None
