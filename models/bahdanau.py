"""Attention before the update (Bahdanau, Cho & Bengio 2015, https://arxiv.org/abs/1409.0473), "RNNsearch".

h_j = [->h_j, <-h_j]                                    bidirectional GRU of the source, appendix A.2.1
s_0 = tanh(W_s <-h_1)
e_ij = v_a . tanh(W_a s_{i-1} + U_a h_j)                appendix A.1.2: models/layers/attention.py
c_i = sum_j alpha_ij h_j,  alpha_i = softmax(e_i)       equations 5 and 6
s_i = GRU(s_{i-1}, [E y_{i-1}, c_i])                    appendix A.2.2, the reset inside the product
t_i = maxout(U_o s_{i-1} + V_o E y_{i-1} + C_o c_i)     of pairs
p(y_i | x, y_<i) = softmax(W_o t_i)

The defaults are the paper's RNNsearch: GRUs of 1000, embeddings of 620, maxout of 500; recurrent matrices orthogonal,
others from N(0, 0.01^2), biases 0 (appendix B.1; v_a, zero there, is drawn too, so that all weights learn at once).
With vocabularies of 30,001 that is 80,453,741 parameters.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.cells.elman_jordan import RNNState
from models.cells.gru import GRU
from models.cells.gru import Config as GRUOptions
from models.families.recurrent_decoder import RecurrentDecoder, repeat_rows
from models.families.sequence_to_sequence import read_tokens
from models.interface import Memory, Padded
from models.layers.attention import AttendedMemory, Attention
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent, Stack
from models.layers.weight_init import WeightInit, initialize_weights
from models.registry import check_positive, check_rates, check_sizes, restore_config

Reset = Literal["inside", "outside"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """hidden_size: of each direction, and of s. maxout_size: of t, each the larger of two. attention_size: of v_a.
    reset: inside the product as published, or outside, for which torch has a kernel. dropout: of the embeddings and of
    t. initial_deviation: of all weights at first but the recurrent ones.
    """

    embedding_size: int = 620
    hidden_size: int = 1000
    attention_size: int = 1000
    maxout_size: int = 500
    reset: Reset = "inside"
    dropout: float = 0.0
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_deviation: float = 0.01

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "embedding_size", "hidden_size", "attention_size", "maxout_size")
        check_rates(self, "dropout", "label_smoothing")
        check_positive(self, "initial_deviation")
        self.gru  # noqa: B018  (checks the reset)

    @property
    def gru(self) -> GRUOptions:
        return GRUOptions(reset=self.reset)

    @property
    def initialize(self) -> WeightInit:
        scale = self.initial_deviation
        return WeightInit(input="normal", input_scale=scale, recurrent="orthogonal", bias="zero")

    def build(self, source_size: int, target_size: int) -> "Bahdanau":
        return Bahdanau(self, source_size, target_size)


class BahdanauState(NamedTuple):
    s: Tensor  # (N, H)


class Bahdanau(RecurrentDecoder):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        size, hidden = config.embedding_size, config.hidden_size
        encoder = Recurrent(
            cell="gru", gru=config.gru, hidden_size=hidden, bidirectional=True, initialize=config.initialize
        )
        self.source_embedding = nn.Embedding(source_size, size)
        self.embedding = nn.Embedding(target_size, size)
        self.attention = Attention("additive", hidden, 2 * hidden, config.attention_size)
        self.begin = nn.Linear(hidden, hidden)
        self.hidden = nn.Linear(hidden + size + 2 * hidden, 2 * config.maxout_size)
        self.output = nn.Linear(config.maxout_size, target_size)
        self.dropout = nn.Dropout(config.dropout)
        for name, value in self.named_parameters():
            if value.dim() == 1 or name.endswith("bias"):
                nn.init.zeros_(value)
            else:
                nn.init.normal_(value, 0, config.initial_deviation)
        self.encoder = Stack(encoder, size)
        self.cell = GRU(config.gru, size + 2 * hidden, hidden)
        initialize_weights(self.cell, config.initialize, hidden)
        self.discriminator = config.professor_forcing.discriminator(hidden + size + 2 * hidden)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to h and the keys of the attention, of T + 1 steps, and s_0."""
        x = read_tokens(source)
        h, _ = self.encoder(Padded(self.embedded(self.source_embedding, x.data), x.lengths), own_ends=False)
        s = self.begin(h.data[:, 0, self.config.hidden_size :]).tanh()
        return Memory((self.attention.prepare(h), s), h.lengths)

    def embedded(self, table: nn.Module, tokens: Tensor) -> Tensor:
        return self.dropout(table(tokens))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.embedded(self.embedding, tokens)

    def parts(self, memory: Memory) -> AttendedMemory:
        return self.attention.parts(memory.data[0])

    def start(self, memory: Memory | None, batch_size: int) -> BahdanauState:
        assert memory is not None, "a decoder looks at a memory"
        return BahdanauState(repeat_rows(memory.data[1], batch_size))

    def write(self, e: Tensor, state: BahdanauState, parts: Any) -> tuple[Tensor, BahdanauState, Tensor]:
        context, weights = self.attention(state.s, parts)
        after = self.cell.step(self.cell.drive(torch.cat((e, context), -1)), RNNState(state.s))
        return torch.cat((state.s, e, context), -1), BahdanauState(after.h), weights

    def _logits(self, z: Tensor) -> Tensor:
        t = self.hidden(z).unflatten(-1, (-1, 2)).amax(-1)
        return self.output(self.dropout(t))
