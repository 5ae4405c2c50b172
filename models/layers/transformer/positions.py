"""Where a token stands, for layers that do not see their input's order.

PE(p, 2i) = sin(p / 10000^(2i/d))        PE(p, 2i + 1) = cos(p / 10000^(2i/d))        Vaswani et al. 2017, section 3.5

rotary: the pair (x_2i, x_2i+1) of queries and keys is turned by the angle p / 10000^(2i/d), so that their product knows
how far they are apart and nothing else (Su et al. 2021, https://arxiv.org/abs/2104.09864, equation 34).
"""

import torch
from torch import Tensor

LONGEST_WAVE = 10000.0


class Angles:
    """p / 10000^(2i/d), as sines and cosines, of as many positions as were asked for so far; computed in float64."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.table = torch.empty(0, size // 2, 2)

    def __call__(self, positions: Tensor, most: int, like: Tensor) -> Tensor:
        """Positions (...) below `most` to sine and cosine (..., d / 2, 2), of `like`'s type, and where it is."""
        if len(self.table) < most or self.table.dtype != like.dtype or self.table.device != like.device:
            steps = torch.arange(max(64, 1 << (most - 1).bit_length()), device=like.device, dtype=torch.float64)
            rates = LONGEST_WAVE ** -(
                torch.arange(0, self.size, 2, device=like.device, dtype=torch.float64) / self.size
            )
            angles = steps[:, None] * rates
            self.table = torch.stack((angles.sin(), angles.cos()), -1).to(like.dtype)
        return self.table[positions]

    def encoding(self, positions: Tensor, most: int, like: Tensor) -> Tensor:
        """PE (..., d) of positions (...)."""
        return self(positions, most, like).flatten(-2)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """x (B, T, M, d) of M heads, each pair of its features turned by the angles (B or 1, T, d / 2, 2) of its step."""
    sine, cosine = (a[:, :, None] for a in angles.unbind(-1))
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), -1).flatten(-2)
