"""Character language model of stacked recurrence (Graves 2013, https://arxiv.org/abs/1308.0850), the lecture's network.

e_t = E y_{t-1}                                  embedding
h_t = recurrent layers of e_1 .. e_t             models/layers/rnn_stack.py
z_t = relu(W_2 relu(W_1 h_t + b_1) + b_2)        read-out, any number of layers
p(y_t | y_1 .. y_{t-1}) = softmax(W z_t + b)

The defaults are the lecture's: embedding 64, 2 LSTM layers of 64, 2 read-out layers of 128. With its vocabulary of
105 characters that is 111,657 parameters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.criteria.cross_entropy import cross_entropy, shift_targets
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded, State, Step, restore_config
from models.layers.rnn_stack import Recurrent, Stack
from models.search.attention.continuation import continuation_beam


@dataclass(frozen=True, kw_only=True)
class Config:
    """embedding_size: of a character's vector. readout: the sizes of its layers, none for a plain softmax.

    dropout: on the embedding, on the recurrent output and after each read-out layer.
    """

    embedding_size: int = 64
    recurrent: Recurrent = Recurrent(cell="lstm", layers=2, hidden_size=64)
    readout: tuple[int, ...] = (128, 128)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        restore_config(self)
        if min(self.embedding_size, *self.readout, 1) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("embedding_size and readout are at least 1, dropout is in [0, 1)")
        if not self.recurrent.streams:
            raise ValueError("a language model reads forward, step by step: not bidirectional, pyramid 1")

    def build(self, source_size: int, target_size: int) -> "CharRNN":
        del source_size  # a language model reads what it writes
        return CharRNN(self, target_size)


class CharRNN(Model):
    """A `LanguageModel`: for sentences or streams."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.embedding_size)
        self.recurrent = Stack(config.recurrent, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.recurrent.output_size, *config.readout)
        self.readout = nn.Sequential()
        for before, after in zip(sizes, sizes[1:], strict=False):
            self.readout.extend((nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout)))
        self.output = nn.Linear(sizes[-1], vocabulary)

    def loss(self, batch: Batch) -> Loss:
        tokens, target = shift_targets(batch)
        return cross_entropy(self._logits(tokens, None, own_ends=False)[0], target)

    def advance(self, batch: Batch, state: State | None) -> tuple[Loss, State]:
        tokens, target = shift_targets(batch)
        logits, state = self._logits(tokens, state)
        return cross_entropy(logits, target), state

    def predict(self, tokens: Padded, state: State | None) -> tuple[Padded, State]:
        logits, state = self._logits(tokens, state)
        return Padded(logits.log_softmax(-1), tokens.lengths), state

    def _logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        """Tokens (B, T) to (B, T, V)."""
        e = Padded(self.dropout(self.embedding(tokens.data)), tokens.lengths)
        h, state = self.recurrent(e, state, own_ends=own_ends)
        return self.output(self.readout(self.dropout(h.data))), state

    def encode(self, source: Padded | None) -> None:
        """A language model has no memory: every source is as good as none."""

    def start(self, memory: Padded | None, batch_size: int) -> State:
        assert memory is None, "a language model has no memory"
        return self.recurrent.begin(batch_size)

    def step(self, tokens: Tensor, state: State, memory: Padded | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""
        assert memory is None, "a language model has no memory"
        h, state = self.recurrent.step(self.embedding(tokens), state)
        return Step(self.output(self.readout(h)).log_softmax(-1), state)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return continuation_beam(self, source, beam, lm)
