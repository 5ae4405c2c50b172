"""Cross-entropy of a softmax layer W h without bias, a few rows at a time: no matrix of all logits is ever held.

L = sum over the real targets y of (1 - s) (-log p(y)) + s / V sum_v (-log p(v)),    p = softmax(W h)
dL/d(W h) = p - (1 - s) onehot(y) - s / V

s: label smoothing, as in models/criteria/token_cross_entropy.py. The gradient is found with the loss, while the logits
of its rows are in the processor's cache (as Hsu et al. 2024, https://arxiv.org/abs/2410.10989, section 3.2, on a GPU).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.criteria.token_cross_entropy import cross_entropy
from models.interface import Loss, Padded

LOGITS = 1 << 20  # so many at a time


def linear_cross_entropy(h: Tensor, weight: Tensor, target: Padded, smoothing: float = 0.0) -> Loss:
    """The loss of features (B, T, d) for target ids (B, T), in nats; weight (V, d). Padding costs nothing.

    Under autocast its products are in that precision, on a GPU all of them at once, as torch has it.
    """
    device = h.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    if low != weight.dtype and device != "cpu":
        return cross_entropy(F.linear(h, weight), target, smoothing)
    real = target.mask().to(h.device)
    with torch.autocast(device, enabled=False):
        rows, labels = h[real].to(weight.dtype), target.data.to(h.device)[real]
        total = _LinearCrossEntropy.apply(rows, weight, labels, smoothing, low)
    return Loss(total, target.lengths.sum().to(h.device))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, labels: Tensor, smoothing: float, low: torch.dtype) -> Tensor:
        """low: the precision of products; sums are in that of the weight."""
        wanted = any(ctx.needs_input_grad)
        total, size, low_weight = h.new_zeros(()), len(weight), weight.to(low)
        h_slope, weight_slope = (torch.empty_like(h), torch.zeros_like(weight)) if wanted else (h, weight)
        rows = max(1, LOGITS // size)
        for begin in range(0, len(h), rows):
            own, y = h[begin : begin + rows].to(low), labels[begin : begin + rows, None]
            z = (own @ low_weight.T).to(h.dtype)
            most = z.logsumexp(1, keepdim=True)
            told = (1 - smoothing) * z.gather(1, y) + smoothing * z.mean(1, keepdim=True)
            total += (most - told).sum()
            if wanted:
                slope = z.sub_(most).exp_().sub_(smoothing / size)
                slope = slope.scatter_add_(1, y, slope.new_full(y.shape, smoothing - 1)).to(low)
                h_slope[begin : begin + rows] = slope @ low_weight
                weight_slope += slope.T @ own
        ctx.save_for_backward(h_slope, weight_slope)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        h_slope, weight_slope = ctx.saved_tensors
        return h_slope * slopes[0], weight_slope * slopes[0], None, None, None
