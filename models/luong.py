"""Attention after the update (Luong, Pham & Manning 2015, https://arxiv.org/abs/1508.04025).

h_s = LSTM layers of the source, read backwards         section 4.1
h_t = LSTM layers of [E y_{t-1}, h~_{t-1}]              input feeding, section 3.3; they begin where the source's ended
c_t = attention of h_t to h_1 .. h_S                    global or local: models/layers/decoder/luong_attention.py
h~_t = tanh(W_c [c_t, h_t])                             equation 5
p(y_t | x, y_<t) = softmax(W_s h~_t)                    equation 6

The defaults are the paper's best single system: local-p, general scores, input feeding; 4 layers of 1000, embeddings of
1000, all weights from U(-0.1, 0.1), dropout 0.2, D = 10. With vocabularies of 50,000 it has 222,065,000 parameters. The
steps h_s stand in the order of the source, whichever way it was read.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.families.recurrent_decoder import RecurrentDecoder, repeat_rows
from models.families.sequence_to_sequence import read_tokens, reverse_tokens
from models.interface import Memory, Padded, State
from models.layers.decoder.luong_attention import Attended, LuongAttention, Reach, Score
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.reverse_padded import permute_rows
from models.layers.rnn_stack import Recurrent, Stack
from models.registry import check_positive, check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """recurrent: of both sides. window: D of the local attentions. dropout: of the embeddings and of what the softmax
    reads; that between the layers is recurrent.dropout. initial_range: of all weights at first.
    """

    embedding_size: int = 1000
    recurrent: Recurrent = Recurrent(cell="lstm", layers=4, hidden_size=1000, dropout=0.2)
    score: Score = "general"
    reach: Reach = "local_p"
    window: int = 10
    input_feeding: bool = True
    reverse_source: bool = True
    dropout: float = 0.2
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_range: float = 0.1

    def __post_init__(self) -> None:
        restore_config(self)
        if not self.recurrent.streams:
            raise ValueError("a decoder begins where its encoder ended: recurrent is not bidirectional, pyramid 1")
        check_sizes(self, "embedding_size")
        check_positive(self, "initial_range")
        check_rates(self, "dropout", "label_smoothing")
        LuongAttention(self.score, self.reach, self.window, 1, 1)

    def build(self, source_size: int, target_size: int) -> "Luong":
        return Luong(self, source_size, target_size)


class LuongState(NamedTuple):
    layers: State
    fed: Tensor  # (N, H) h~
    written: Tensor  # (N,) tokens


class Luong(RecurrentDecoder):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        embedded, hidden = config.embedding_size, config.recurrent.output_size
        self.source_embedding = nn.Embedding(source_size, embedded)
        self.embedding = nn.Embedding(target_size, embedded)
        self.encoder = Stack(config.recurrent, embedded)
        self.decoder = Stack(config.recurrent, embedded + (hidden if config.input_feeding else 0))
        self.attention = LuongAttention(config.score, config.reach, config.window, hidden, hidden)
        self.hidden = nn.Linear(2 * hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, target_size, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for value in self.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)
        self.discriminator = config.professor_forcing.discriminator(hidden)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to h of T + 1 steps with their keys, and the state of each layer after them."""
        x = read_tokens(source)
        tokens, order = reverse_tokens(x) if self.config.reverse_source else (x.data, None)
        h, state = self.encoder(Padded(self.dropout(self.source_embedding(tokens)), x.lengths))
        h = h if order is None else Padded(permute_rows(h.data, order), h.lengths)
        return Memory((self.attention.prepare(h), state), h.lengths)

    def parts(self, memory: Memory) -> Attended:
        return memory.data[0]

    def start(self, memory: Memory | None, batch_size: int) -> LuongState:
        assert memory is not None, "a decoder looks at a memory"
        fed = self.hidden.weight.new_zeros(batch_size, self.config.recurrent.output_size)
        return LuongState(repeat_rows(memory.data[1], batch_size), fed, torch.zeros_like(fed[:, 0], dtype=torch.long))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def write(self, e: Tensor, state: LuongState, parts: Any) -> tuple[Tensor, LuongState, Tensor]:
        x = torch.cat((e, state.fed), -1) if self.config.input_feeding else e
        h, layers = self.recur(self.decoder, x, state.layers)
        context, weights = self.attention(h, parts, state.written)
        attended = self.hidden(torch.cat((context, h), -1)).tanh()
        return attended, LuongState(layers, attended, state.written + 1), weights

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(z))
