"""Clipped ReLU (Hannun et al. 2014, https://arxiv.org/abs/1412.5567, section 2), and Elman's recurrence with it.

f(z) = min(max(z, 0), 20)            h_t = f(driven_t + W_h h_{t-1})

Back-propagation through time by hand: f' is 0 or 1, so a step back is one product and one mask, and the gradient of
W_h is one product over all steps, not T of them.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CLIP = 20.0


def clipped_relu(z: Tensor) -> Tensor:
    return F.hardtanh(z, 0, CLIP)


def scan_clipped(driven: Tensor, weight: Tensor, h: Tensor) -> Tensor:
    """All h_t (G, T, B, H) of G recurrences side by side: driven (G, T, B, H), W_h (G, H, H), h_0 (G, B, H)."""
    kind = driven.dtype
    states: Tensor = _Scan.apply(driven, weight.to(kind), h.to(kind))  # pyright: ignore[reportAssignmentType]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, weight: Tensor, h: Tensor) -> Tensor:
        (groups, time, batch, size), turned = driven.shape, weight.transpose(1, 2).contiguous()
        states = driven.new_empty(groups, time + 1, batch, size)
        states[:, 0] = h
        for t in range(time):
            torch.clamp(torch.baddbmm(driven[:, t], states[:, t], turned), 0, CLIP, out=states[:, t + 1])
        ctx.save_for_backward(states, weight)
        return states[:, 1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, weight = ctx.saved_tensors
        after = states[:, 1:]
        slope = (after > 0) & (after < CLIP)
        deltas = grads[0] * slope  # dL/dz_t, completed from the last step down
        for t in range(after.shape[1] - 2, -1, -1):
            deltas[:, t].addcmul_(torch.bmm(deltas[:, t + 1], weight), slope[:, t])
        of_weight = deltas.flatten(1, 2).transpose(1, 2) @ states[:, :-1].flatten(1, 2)
        return deltas, of_weight, torch.bmm(deltas[:, 0], weight)
