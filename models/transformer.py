"""Transformer (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

e_i = sqrt(d) E x_i + PE(i)                             section 3.4 and 3.5: models/layers/transformer/positions.py
h = encoder layers of e                                 self-attention, then a feed-forward network, section 3.1
s_i = decoder layers of e'_1 .. e'_i and h              the same, with attention to h between: .../decoder_stack.py
p(y_i | x, y_<i) = softmax(E' s_i)                      E' also embeds the target

The defaults are the base model's. The paper's vocabulary is one for both sides, whose three matrices are one: set
`joint_vocabulary` where it is so. With 37,000 tokens base has 63,045,632 parameters, and `big` 214,171,648: the paper
says 65 and 213 million.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.criteria.linear_cross_entropy import linear_cross_entropy
from models.criteria.token_cross_entropy import append_eos, prepend_bos
from models.families.sequence_to_sequence import SequenceToSequence, read_tokens
from models.interface import Loss, Memory, Padded, Step
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_layer import is_unpadded
from models.layers.transformer.decoder_stack import Cache, DecoderStack
from models.layers.transformer.layer import LayerOptions, Norm, TransformerLayer, begin_weights, embedding, last_norm
from models.layers.transformer.positions import Angles
from models.registry import check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """size: of the model, d. feed_forward_size: between the two layers of each feed-forward network. norm: after each
    sub-layer as published (post), or before it (pre), which trains without a warm-up. dropout: of the embeddings and of
    each sub-layer. tie_output: the softmax has the target's embedding for its weights. joint_vocabulary: source and
    target are of one vocabulary, and one embedding.
    """

    size: int = 512
    heads: int = 8
    feed_forward_size: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    norm: Norm = "post"
    dropout: float = 0.1
    label_smoothing: float = 0.1
    tie_output: bool = True
    joint_vocabulary: bool = False
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "encoder_layers", "decoder_layers")
        check_rates(self, "label_smoothing")
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

    def build(self, source_size: int, target_size: int) -> "Transformer":
        return Transformer(self, source_size, target_size)


def big() -> Config:
    """The larger model of table 3, for English to German."""
    return Config(size=1024, heads=16, feed_forward_size=4096, dropout=0.3)


class Transformer(SequenceToSequence):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        if config.joint_vocabulary and source_size != target_size:
            raise ValueError(f"joint_vocabulary: one of {source_size} tokens and one of {target_size} are not the same")
        self.config, self.sampling, options = config, config.sampling, config.layer
        self.encoder = nn.ModuleList(TransformerLayer(options) for _ in range(config.encoder_layers))
        self.norm = last_norm(options)
        self.decoder = DecoderStack(options, config.decoder_layers, looks=True)
        self.positions = Angles(config.size)
        begin_weights(self)
        self.embedding = embedding(target_size, config.size)
        self.source_embedding = None if config.joint_vocabulary else embedding(source_size, config.size)
        self.output = None if config.tie_output else nn.Linear(config.size, target_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to keys and values of T + 1 steps for each layer of the decoder."""
        x = read_tokens(source)
        seen = None if is_unpadded(x) else x.mask()[:, None, None]
        h = self._embed(x.data, self.source_embedding or self.embedding)
        for layer in self.encoder:
            assert isinstance(layer, TransformerLayer)
            attention = layer.attention
            h = layer(h, lambda h, a=attention: a(a.queries(h), a.keys_values(h), seen))
        h = self.norm(h)
        return Memory(self.decoder.look_at(h, x.mask()), x.lengths)

    def _embed(self, tokens: Tensor, table: nn.Module, begin: Tensor | None = None) -> Tensor:
        """Tokens (B, T), the first of which are at the positions `begin` (B,), 0 by default, to e (B, T, d)."""
        e = table(tokens) * self.config.size**0.5
        places = torch.arange(tokens.shape[1], device=tokens.device)
        most = tokens.shape[1]
        if begin is not None:
            places, most = places + begin[:, None], most + int(begin.max()) if len(begin) else most
        return self.dropout(e + self.positions.encoding(places, most, e))

    @property
    def _output_weight(self) -> Tensor:
        return self.embedding.weight if self.output is None else self.output.weight

    def _logits(self, s: Tensor) -> Tensor:
        return F.linear(s, self.embedding.weight) if self.output is None else self.output(s)

    def _features(self, memory: Memory, read: Padded) -> Tensor:
        """s (B, U, d) of tokens (B, U) that begin with BOS."""
        return self.decoder(self._embed(read.data, self.embedding), memory.data)

    def predict(self, memory: Memory, read: Padded) -> Tensor:
        return self._logits(self._features(memory, read))

    def decode_loss(self, memory: Memory, target: Padded) -> Loss:
        s = self._features(memory, self.sampled(memory, prepend_bos(target)))
        return linear_cross_entropy(s, self._output_weight, append_eos(target), self.config.label_smoothing)

    def start(self, memory: Memory | None, batch_size: int) -> Cache:
        assert memory is not None, "a decoder looks at a memory"
        return self.decoder.begin(batch_size)

    def step(self, tokens: Tensor, state: Cache, memory: Memory | None) -> Step:
        assert memory is not None, "a decoder looks at a memory"
        e = self._embed(tokens[:, None], self.embedding, state.read)
        s, state, weights = self.decoder.step(e[:, 0], state, memory.data)
        return Step(self._logits(s).log_softmax(-1), state, weights)
