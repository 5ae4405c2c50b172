"""Sequence to sequence learning (Sutskever, Vinyals & Le 2014, https://arxiv.org/abs/1409.3215).

v = the states of the LSTM layers after x_T, .., x_1, EOS       the source reversed, section 3.3
h_t = LSTM layers of E' y_{t-1}, which begin at v               section 2
p(y_t | v, y_<t) = softmax(W h_t + b)

The defaults are the paper's: 4 layers of 1000 a side, embeddings of 1000, all weights from U(-0.08, 0.08) (section
3.4). With its vocabularies of 160,000 and 80,000 that is 384,144,000 parameters, 64,064,000 of them recurrent: the
paper's 384 and 64 million.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models.families.recurrent_decoder import RecurrentDecoder, repeat_rows
from models.families.sequence_to_sequence import read_tokens, reverse_tokens
from models.interface import Memory, Padded, State
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent, Stack
from models.registry import check_positive, check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """recurrent: of both sides. dropout: of the embeddings and of what the softmax reads; that between the layers is
    recurrent.dropout. initial_range: of all weights at first.
    """

    embedding_size: int = 1000
    recurrent: Recurrent = Recurrent(cell="lstm", layers=4, hidden_size=1000)
    reverse_source: bool = True
    dropout: float = 0.0
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_range: float = 0.08

    def __post_init__(self) -> None:
        restore_config(self)
        if not self.recurrent.streams:
            raise ValueError("a decoder begins where its encoder ended: recurrent is not bidirectional, pyramid 1")
        check_sizes(self, "embedding_size")
        check_positive(self, "initial_range")
        check_rates(self, "dropout", "label_smoothing")

    def build(self, source_size: int, target_size: int) -> "Seq2Seq":
        return Seq2Seq(self, source_size, target_size)


class Seq2Seq(RecurrentDecoder):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        self.source_embedding = nn.Embedding(source_size, config.embedding_size)
        self.embedding = nn.Embedding(target_size, config.embedding_size)
        self.encoder = Stack(config.recurrent, config.embedding_size)
        self.decoder = Stack(config.recurrent, config.embedding_size)
        self.output = nn.Linear(config.recurrent.output_size, target_size)
        self.dropout = nn.Dropout(config.dropout)
        for value in self.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)
        self.discriminator = config.professor_forcing.discriminator(config.recurrent.output_size)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to v, the state of each layer."""
        x = read_tokens(source)
        tokens = reverse_tokens(x)[0] if self.config.reverse_source else x.data
        _, state = self.encoder(Padded(self.dropout(self.source_embedding(tokens)), x.lengths))
        return Memory(state, x.lengths)

    def start(self, memory: Memory | None, batch_size: int) -> State:
        assert memory is not None, "a decoder begins at its memory"
        return repeat_rows(memory.data, batch_size)

    def read_truth(self, memory: Memory, read: Padded) -> Tensor:
        h, _ = self.decoder(Padded(self.embed(read.data), read.lengths), memory.data, own_ends=False)
        return h.data

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def write(self, e: Tensor, state: State, parts: Any) -> tuple[Tensor, State, None]:  # noqa: ARG002  (all is in v)
        return *self.recur(self.decoder, e, state), None

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(z))
