"""RNN Encoder-Decoder (Cho et al. 2014, https://arxiv.org/abs/1406.1078), the first gated recurrent units.

c = tanh(V h_T),  h_t = GRU(h_{t-1}, E x_t)             of the source, the reset inside the product: appendix A.1.1
h'_0 = tanh(V' c)                                       appendix A.1.2
z' = sigmoid(W'_z e_t + U'_z h'_{t-1} + C_z c),  r' with W'_r, U'_r and C_r,      e_t = E' y_{t-1}
h~ = tanh(W' e_t + r' * (U' h'_{t-1} + C c))
h'_t = z' * h'_{t-1} + (1 - z') * h~
s'_t = O_h h'_t + O_y e_t + O_c c,  s_t = maxout(s'_t)  of pairs
p(y_t | x, y_<t) = softmax(G_l G_r s_t)

It was made to score given phrase pairs: `score`. The defaults are the paper's (section 4.1): 1000 hidden units, every
matrix of the vocabulary's size of rank 100, 500 maxout units; recurrent matrices orthogonal, others from N(0, 0.01^2).
With its vocabularies of 15,000 that is 18,277,000 parameters.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.cells.gru import Config as GRUOptions
from models.cells.interpolate import interpolate
from models.families.recurrent_decoder import RecurrentDecoder, repeat_rows
from models.families.sequence_to_sequence import read_tokens
from models.interface import Memory, Padded
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent, Stack
from models.layers.weight_init import WeightInit
from models.registry import check_positive, check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """rank: of the embeddings and of G_l G_r. maxout_size: of s, each the larger of two. dropout: of the embeddings and
    of s. initial_deviation: of all weights at first but the recurrent ones.
    """

    rank: int = 100
    hidden_size: int = 1000
    maxout_size: int = 500
    dropout: float = 0.0
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_deviation: float = 0.01

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "rank", "hidden_size", "maxout_size")
        check_positive(self, "initial_deviation")
        check_rates(self, "dropout", "label_smoothing")

    def build(self, source_size: int, target_size: int) -> "EncoderDecoder":
        return EncoderDecoder(self, source_size, target_size)


class EncoderDecoderState(NamedTuple):
    h: Tensor  # (N, H) h'


class Summary(NamedTuple):
    """What there is of a source."""

    h: Tensor  # (B, H) h'_0
    driven: Tensor  # (B, 3 H) C_r c, C_z c and C c
    told: Tensor  # (B, 2 M) O_c c


class EncoderDecoder(RecurrentDecoder):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling, hidden = config, config.sampling, config.hidden_size
        scale = config.initial_deviation
        begin = WeightInit(input="normal", input_scale=scale, recurrent="orthogonal", bias="zero")
        gru = GRUOptions(reset="inside")
        self.source_embedding = nn.Embedding(source_size, config.rank)
        self.embedding = nn.Embedding(target_size, config.rank)
        self.summary = nn.Linear(hidden, hidden)
        self.begin = nn.Linear(hidden, hidden)
        self.input = nn.Linear(config.rank, 3 * hidden)  # rows of r', z' and h~
        self.recurrent = nn.Linear(hidden, 3 * hidden, bias=False)
        self.context = nn.Linear(hidden, 3 * hidden, bias=False)
        self.hidden = nn.Linear(hidden + config.rank, 2 * config.maxout_size)
        self.hidden_context = nn.Linear(hidden, 2 * config.maxout_size, bias=False)
        self.right = nn.Linear(config.maxout_size, config.rank, bias=False)
        self.output = nn.Linear(config.rank, target_size)
        self.dropout = nn.Dropout(config.dropout)
        for value in self.parameters():
            nn.init.normal_(value, 0, scale) if value.dim() > 1 else nn.init.zeros_(value)
        for gate in self.recurrent.weight.detach().split(hidden):
            nn.init.orthogonal_(gate)
        self.encoder = Stack(Recurrent(cell="gru", gru=gru, hidden_size=hidden, initialize=begin), config.rank)
        self.discriminator = config.professor_forcing.discriminator(2 * config.maxout_size)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to a summary of them and EOS."""
        x = read_tokens(source)
        _, (state,) = self.encoder(Padded(self.dropout(self.source_embedding(x.data)), x.lengths))
        c = self.summary(state.h).tanh()
        return Memory(Summary(self.begin(c).tanh(), self.context(c), self.hidden_context(c)), x.lengths)

    def start(self, memory: Memory | None, batch_size: int) -> EncoderDecoderState:
        assert memory is not None, "a decoder begins at its memory"
        return EncoderDecoderState(repeat_rows(memory.data.h, batch_size))

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def write(self, e: Tensor, state: EncoderDecoderState, parts: Any) -> tuple[Tensor, EncoderDecoderState, None]:
        summary, sizes = repeat_rows(parts, len(e)), (2 * self.config.hidden_size, self.config.hidden_size)
        gates, unit = self.input(e).split(sizes, 1)
        recurrent_gates, recurrent_unit = (self.recurrent(state.h) + summary.driven).split(sizes, 1)
        r, z = (gates + recurrent_gates).sigmoid().chunk(2, 1)
        h = interpolate((unit + r * recurrent_unit).tanh(), state.h, z)
        told = self.hidden(torch.cat((h, e), -1)) + summary.told
        return told, EncoderDecoderState(h), None

    def _logits(self, z: Tensor) -> Tensor:
        s = z.unflatten(-1, (-1, 2)).amax(-1)
        return self.output(self.right(self.dropout(s)))
