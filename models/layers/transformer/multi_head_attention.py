"""Attention of several heads (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2).

Attention(Q, K, V) = softmax(Q K' / sqrt(d_k)) V        head_m = Attention(Q W_m^Q, K W_m^K, V W_m^V)
MultiHead(Q, K, V) = [head_1 .. head_M] W^O             no biases, as in the paper's equations

torch computes it without the matrix of weights where that is not asked for.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeysValues(NamedTuple):
    """Of what is attended to, for M heads of d features; both (B, T, M, d)."""

    keys: Tensor
    values: Tensor


class MultiHeadAttention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or size % heads:
            raise ValueError(f"{heads} heads do not divide a size of {size}")
        self.heads = heads
        self.query = nn.Linear(size, size, bias=False)
        self.key_value = nn.Linear(size, 2 * size, bias=False)
        self.output = nn.Linear(size, size, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        """x (B, T, size) to (B, T, M, d)."""
        return self.query(x).unflatten(-1, (self.heads, -1))

    def joined(self, x: Tensor) -> Tensor:
        """x (B, T, size) to keys and values in one (B, T, 2, M, d)."""
        return self.key_value(x).unflatten(-1, (2, self.heads, -1))

    def keys_values(self, x: Tensor) -> KeysValues:
        return KeysValues(*self.joined(x).unbind(2))

    def forward(
        self, queries: Tensor, known: KeysValues, seen: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Queries (B, Q, M, d) to (B, Q, size). seen: what each may see, (B or 1, 1, Q or 1, T) bool, None for all.

        causal: step q sees the steps up to its own. Every query sees one step or more.
        """
        q, k, v = (x.transpose(1, 2) for x in (queries, *known))
        if q.device.type == "cpu":  # whose kernel is several times slower in bfloat16
            q, k, v = (x.float() if x.dtype == torch.bfloat16 else x for x in (q, k, v))
        with torch.autocast("cpu", enabled=False):
            context = F.scaled_dot_product_attention(q, k, v, seen, is_causal=causal)
        return self.output(context.transpose(1, 2).flatten(2))

    def with_weights(self, queries: Tensor, known: KeysValues, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same, and the weights (B, Q, T), the mean of the heads."""
        q, k, v = (x.transpose(1, 2) for x in (queries, *known))
        energies = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        energies = energies if seen is None else energies.masked_fill(~seen, -torch.inf)
        weights = energies.softmax(-1)
        return self.output((weights @ v).transpose(1, 2).flatten(2)), weights.mean(1)
