"""Causal gated convolutions in residual blocks (Dauphin et al. 2017, https://arxiv.org/abs/1612.08083, section 2).

h_l(X) = (X * W + b) (x) sigmoid(X * V + c)          a gated linear unit, W and V of width k
block(X) = X + h_n(... h_1(X))                       a bottleneck where h_1 and h_n have width 1

X is preceded by k - 1 steps, zeros at first, so that no step sees its future. These steps are all that a layer
knows of the past: kept as state, they make chunk after chunk, or step after step, equal to the whole.
Every convolution has weight normalization, w = g v / |v| for each output (Salimans & Kingma 2016,
https://arxiv.org/abs/1602.07868), and starts as He et al. 2015 (https://arxiv.org/abs/1502.01852, equation 10) say.

Inside, sequences are (B, C, T) and a layer's past is (B, C, k - 1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

Layer = tuple[int, int]  # [k, n] of the paper's table 1: kernel width and outputs


class GatedConvolution(nn.Module):
    """h of a sequence whose past is known: (B, before, T) and (B, before, k - 1) to (B, after, T)."""

    def __init__(self, before: int, layer: Layer) -> None:
        super().__init__()
        kernel, after = layer
        self.convolve = normalized(before, 2 * after, kernel)  # W and b, then V and c

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Also gives past and x in one: what the next past is cut from."""
        seen = torch.cat((past, x), 2)
        return F.glu(self.convolve(seen), 1), seen


class GatedBlock(nn.Module):
    """Gated convolutions and a shortcut around them, a linear map where input and output differ in size."""

    def __init__(self, before: int, layers: tuple[Layer, ...], dropout: float) -> None:
        super().__init__()
        sizes = (before, *(after for _, after in layers))
        self.size = sizes[-1]
        self.past_shapes = tuple((size, kernel - 1) for size, (kernel, _) in zip(sizes, layers, strict=False))
        self.gated = nn.ModuleList(GatedConvolution(*pair) for pair in zip(sizes, layers, strict=False))
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Identity() if before == self.size else normalized(before, self.size, 1)

    def forward(self, x: Tensor, pasts: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(B, before, T) and each layer's past to (B, size, T) and what each layer has seen."""
        h, seen = x, []
        for gated, past in zip(self.gated, pasts, strict=True):
            h, known = gated(h, past)
            seen.append(known)
        return self.shortcut(x) + self.dropout(h), tuple(seen)


def normalized(before: int, after: int, kernel: int) -> nn.Module:
    """A convolution with weight normalization and He's initialization, its bias zero."""
    convolution = nn.Conv1d(before, after, kernel)
    nn.init.kaiming_normal_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # pyright: ignore[reportArgumentType]  (it has one)
    return weight_norm(convolution)


def ends(seen: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """The last `steps` before each row's own end: (B, C, steps + T) and lengths (B,) to (B, C, steps)."""
    places = lengths.to(seen.device)[:, None] + torch.arange(steps, device=seen.device)
    return seen.gather(2, places[:, None].expand(-1, seen.shape[1], -1))
