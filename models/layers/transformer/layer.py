"""A layer of a Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, sections 3.1 and 3.3).

post    x <- LayerNorm(x + dropout(f(x)))        as published
pre     x <- x + dropout(f(LayerNorm(x)))        Wang et al. 2019, https://arxiv.org/abs/1906.01787; a last norm follows

f: attention to the steps of its own side, in a decoder then to the memory, then max(0, x W_1 + b_1) W_2 + b_2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.layers.transformer.multi_head_attention import MultiHeadAttention
from models.registry import check_rates

Norm = Literal["post", "pre"]


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """hidden_size: between W_1 and W_2."""

    size: int = 512
    heads: int = 8
    hidden_size: int = 2048
    dropout: float = 0.1
    norm: Norm = "post"

    def __post_init__(self) -> None:
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm is post or pre, not {self.norm!r}")
        if min(self.size, self.heads, self.hidden_size) < 1 or self.size % self.heads or (self.size // self.heads) % 2:
            raise ValueError(f"{self.heads} heads do not divide a size of {self.size} into parts of an even size")
        check_rates(self, "dropout")


class TransformerLayer(nn.Module):
    """looks: whether it attends to a memory too."""

    def __init__(self, options: LayerOptions, *, looks: bool = False) -> None:
        super().__init__()
        self.before = options.norm == "pre"
        self.attention = MultiHeadAttention(options.size, options.heads)
        self.look = MultiHeadAttention(options.size, options.heads) if looks else None
        self.feed = nn.Sequential(
            nn.Linear(options.size, options.hidden_size), nn.ReLU(), nn.Linear(options.hidden_size, options.size)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(options.size) for _ in range(3 if looks else 2))
        self.dropout = nn.Dropout(options.dropout)

    def forward(
        self, x: Tensor, attend: Callable[[Tensor], Tensor], look: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """x (B, T, size). attend, look: what this layer's attentions make of their input."""
        for norm, f in zip(self.norms, (attend, look, self.feed) if look else (attend, self.feed), strict=True):
            x = x + self.dropout(f(norm(x))) if self.before else norm(x + self.dropout(f(x)))
        return x


def last_norm(options: LayerOptions) -> nn.Module:
    """What follows the last layer."""
    return nn.LayerNorm(options.size) if options.norm == "pre" else nn.Identity()


def begin_weights(module: nn.Module) -> None:
    """Glorot & Bengio's, for each matrix; of a fused one, for each part alike. Biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            for part in (
                layer.weight.split(layer.in_features) if layer.out_features == 2 * layer.in_features else [layer.weight]
            ):
                nn.init.xavier_uniform_(part.detach())
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def embedding(tokens: int, size: int) -> nn.Embedding:
    """From N(0, 1 / size), so that what is multiplied by sqrt(size) has variance 1."""
    table = nn.Embedding(tokens, size)
    with torch.no_grad():
        table.weight.normal_(0, size**-0.5)
    return table
