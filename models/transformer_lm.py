"""The decoder of a Transformer as a language model (Liu et al. 2018, https://arxiv.org/abs/1801.10198, section 4.2.3).

e_t = sqrt(d) E y_t + PE(t)                             Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
h = layers of causal self-attention and feed-forward networks of e_1 .. e_t
p(y_{t+1} | y_1 .. y_t) = softmax(E h_t)

The defaults are Vaswani et al.'s base sizes. A step sees the last `context` tokens, whether they come at once, in
chunks or one by one; in a long stream positions go on, for which rotary ones are the better choice.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.criteria.linear_cross_entropy import linear_cross_entropy
from models.criteria.token_cross_entropy import shift_targets
from models.families.causal_lm import CausalLM
from models.interface import Batch, Loss, Padded, State
from models.layers.transformer.decoder_stack import Cache, DecoderStack
from models.layers.transformer.layer import LayerOptions, Norm, begin_weights, embedding
from models.layers.transformer.positions import Angles

Positions = Literal["sinusoidal", "rotary"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """size: of the model, d. feed_forward_size: between the two layers of each feed-forward network. norm: after each
    sub-layer as published (post), or before it (pre). dropout: of the embeddings and of each sub-layer. positions:
    added to the embeddings, or angles of queries and keys. context: the tokens that a step sees, its own among them, 0
    for all. tie_output: the softmax has the embedding for its weights.
    """

    size: int = 512
    heads: int = 8
    feed_forward_size: int = 2048
    layers: int = 6
    norm: Norm = "post"
    dropout: float = 0.1
    positions: Positions = "sinusoidal"
    context: int = 512
    tie_output: bool = True

    def __post_init__(self) -> None:
        if self.positions not in get_args(Positions):
            raise ValueError(f"positions is one of {', '.join(get_args(Positions))}, not {self.positions!r}")
        if self.layers < 1 or self.context < 0 or self.context == 1:
            raise ValueError("layers is at least 1, context 0 (all tokens) or at least 2")
        self.layer  # noqa: B018  (checks its options)

    @property
    def layer(self) -> LayerOptions:
        return LayerOptions(
            size=self.size,
            heads=self.heads,
            hidden_size=self.feed_forward_size,
            dropout=self.dropout,
            norm=self.norm,
        )

    def build(self, source_size: int, target_size: int) -> "TransformerLM":
        del source_size  # a language model reads what it writes
        return TransformerLM(self, target_size)


class TransformerLM(CausalLM):
    """Its state is a cache of keys and values, which grows."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        rotary = config.positions == "rotary"
        self.stack = DecoderStack(config.layer, config.layers, context=config.context, rotary=rotary)
        self.positions = None if rotary else Angles(config.size)
        begin_weights(self)
        self.embedding = embedding(vocabulary, config.size)
        self.output = None if config.tie_output else nn.Linear(config.size, vocabulary, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def loss(self, batch: Batch) -> Loss:
        tokens, target = shift_targets(batch)
        return linear_cross_entropy(self.stack(self._embed(tokens.data, None)), self._output_weight, target)

    def begin(self, batch_size: int) -> State:
        return self.stack.begin(batch_size)

    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        if state is None and not own_ends:
            return self._logits(self.stack(self._embed(tokens.data, None))), self.begin(len(tokens.lengths))
        known: Cache = self.begin(len(tokens.lengths)) if state is None else state
        h, after = self.stack.advance(self._embed(tokens.data, known.read), tokens.lengths, known)
        return self._logits(h), after

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        h, state, _ = self.stack.step(self._embed(tokens[:, None], state.read)[:, 0], state)
        return self._logits(h), state

    def _embed(self, tokens: Tensor, read: Tensor | None) -> Tensor:
        """Tokens (B, T) after so many (B,) to e (B, T, d)."""
        e = self.embedding(tokens) * self.config.size**0.5
        if self.positions is not None:
            places, most = torch.arange(tokens.shape[1], device=tokens.device), tokens.shape[1]
            if read is not None and len(read):
                places, most = places + read[:, None], most + int(read.max())
            e = e + self.positions.encoding(places, most, e)
        return self.dropout(e)

    @property
    def _output_weight(self) -> Tensor:
        return self.embedding.weight if self.output is None else self.output.weight

    def _logits(self, h: Tensor) -> Tensor:
        return F.linear(h, self.embedding.weight) if self.output is None else self.output(h)
