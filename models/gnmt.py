"""Google's Neural Machine Translation (Wu et al. 2016, https://arxiv.org/abs/1609.08144).

h = LSTM layers of the source: the first in both directions, from the third on with residuals     section 3.1 and 3.2
c_i = attention of s^1_{i-1} to h                       additive, of the lowest layer's last output: section 3
s^1_i = LSTM([E y_{i-1}, c_i])
s^k_i = LSTM([x^k_i, c_i]) (+ x^k_i from the third on),  x^k_i = s^{k-1}_i
p(y_i | x, y_<i) = softmax(W s^L_i + b)

Since nothing but the lowest layer is attended from, the others read all steps of a target at once while it trains. The
search's length norm and coverage penalty (section 7) are terms of `Beam`.

The defaults are the paper's: 8 and 8 layers of 1024, weights from U(-0.04, 0.04), dropout 0.2 (section 8.3 and 8.4).
With 32,000 word pieces a side that is 280,929,536 parameters. The paper does not say where the decoder begins: at zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.families.recurrent_decoder import RecurrentDecoder
from models.families.sequence_to_sequence import read_tokens
from models.interface import Memory, Padded, State
from models.layers.attention import AttendedMemory, Attention
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_layer import Fused
from models.layers.rnn_stack import Recurrent, Stack, recurrent_layer
from models.registry import check_positive, check_rates, check_sizes, restore_config

RESIDUAL = 3  # the first layer, counted from 1, whose input is added to its output


@dataclass(frozen=True, kw_only=True)
class Config:
    """hidden_size: of each layer, and of each direction of the first. attention_size: of the one hidden layer that
    scores. dropout: of the embeddings and of each layer's input from below, and of what the softmax reads.
    """

    embedding_size: int = 1024
    hidden_size: int = 1024
    encoder_layers: int = 8
    decoder_layers: int = 8
    attention_size: int = 1024
    dropout: float = 0.2
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_range: float = 0.04

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "embedding_size", "hidden_size", "attention_size", "decoder_layers")
        if self.encoder_layers < 2:
            raise ValueError(f"encoder_layers is at least 2, not {self.encoder_layers}: the first has two directions")
        check_rates(self, "dropout", "label_smoothing")
        check_positive(self, "initial_range")

    @property
    def encoder(self) -> Recurrent:
        return Recurrent(
            layers=self.encoder_layers,
            hidden_size=self.hidden_size,
            bidirectional_first=True,
            residual=RESIDUAL if self.encoder_layers >= RESIDUAL else 0,
            dropout=self.dropout,
        )

    def build(self, source_size: int, target_size: int) -> "GNMT":
        return GNMT(self, source_size, target_size)


class GNMT(RecurrentDecoder):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        hidden, one = config.hidden_size, Recurrent(hidden_size=config.hidden_size)
        self.source_embedding = nn.Embedding(source_size, config.embedding_size)
        self.embedding = nn.Embedding(target_size, config.embedding_size)
        self.encoder = Stack(config.encoder, config.embedding_size)
        self.attention = Attention("additive", hidden, hidden, config.attention_size)
        below = (hidden if k else config.embedding_size for k in range(config.decoder_layers))
        self.decoder = nn.ModuleList(recurrent_layer(one, size + hidden) for size in below)
        self.output = nn.Linear(hidden, target_size)
        self.dropout = nn.Dropout(config.dropout)
        for value in self.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)
        self.discriminator = config.professor_forcing.discriminator(hidden)

    @property
    def _layers(self) -> list[Fused]:
        return list(cast("Iterable[Fused]", self.decoder))

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to h of T + 1 steps, with the keys of the attention beside it."""
        x = read_tokens(source)
        e = self.dropout(self.source_embedding(x.data))
        return self.attention.prepare(self.encoder(Padded(e, x.lengths), own_ends=False)[0])

    def parts(self, memory: Memory) -> AttendedMemory:
        return self.attention.parts(Padded(memory.data, memory.lengths))

    def start(self, memory: Memory | None, batch_size: int) -> State:
        assert memory is not None, "a decoder looks at a memory"
        return tuple(layer.begin(batch_size) for layer in self._layers)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def read_truth(self, memory: Memory, read: Padded) -> Tensor:
        states, parts, lowest, contexts = self.start(memory, len(read.lengths)), self.parts(memory), [], []
        state = states[0]
        for e in self.embed_all(read.data):
            context, _ = self.attention(state.h, parts)
            x, state = self._layers[0].step(torch.cat((e, context), -1), state)
            lowest.append(x)
            contexts.append(context)
        x, c = torch.stack(lowest, 1), torch.stack(contexts, 1)
        for k, (layer, before) in enumerate(zip(self._layers[1:], states[1:], strict=True), 2):
            x = self.dropout(x)
            y, _ = layer(Padded(torch.cat((x, c), -1), read.lengths), before, own_ends=False)
            x = y.data + x if k >= RESIDUAL else y.data
        return x

    def write(self, e: Tensor, state: State, parts: Any) -> tuple[Tensor, State, Tensor]:
        context, weights = self.attention(state[0].h, parts)
        x, after = e, []
        for k, (layer, before) in enumerate(zip(self._layers, state, strict=True), 1):
            x = self.dropout(x) if k > 1 else x
            y, ended = layer.step(torch.cat((x, context), -1), before)
            x = y + x if k >= RESIDUAL else y
            after.append(ended)
        return x, tuple(after), weights

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(z))
