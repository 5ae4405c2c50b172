"""Character language model of stacked recurrence (Graves 2013, https://arxiv.org/abs/1308.0850), the lecture's network.

e_t = E y_{t-1}                                  embedding
h_t = recurrent layers of e_1 .. e_t             models/layers/rnn_stack.py
z_t = relu(W_2 relu(W_1 h_t + b_1) + b_2)        read-out, any number of layers
p(y_t | y_1 .. y_{t-1}) = softmax(W z_t + b)

The defaults are the lecture's: embedding 64, 2 LSTM layers of 64, 2 read-out layers of 128. With its vocabulary of
105 characters that is 111,657 parameters.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from models.families.causal_lm import CausalLM
from models.interface import Padded, State
from models.layers.rnn_stack import Recurrent, Stack
from models.registry import check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """embedding_size: of a character's vector, 0 for one-hot characters. readout: the sizes of its layers, none for a
    plain softmax. dropout: on the embedding, on the recurrent output and after each read-out layer.
    """

    embedding_size: int = 64
    recurrent: Recurrent = Recurrent(cell="lstm", layers=2, hidden_size=64)
    readout: tuple[int, ...] = (128, 128)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "readout")
        check_rates(self, "dropout")
        if self.embedding_size < 0:
            raise ValueError(f"embedding_size is not negative: {self.embedding_size}")
        if self.recurrent.cell == "elman_rtrl" and self.embedding_size:
            raise ValueError("elman_rtrl gives an embedding no gradient: embedding_size=0, which reads one-hot tokens")
        if not self.recurrent.streams:
            raise ValueError("a language model reads forward, step by step: not bidirectional, pyramid 1")

    def build(self, source_size: int, target_size: int) -> "CharRNN":
        del source_size  # a language model reads what it writes
        return CharRNN(self, target_size)


class CharRNN(CausalLM):
    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.embedding = nn.Embedding(vocabulary, config.embedding_size) if config.embedding_size else None
        self.recurrent = Stack(config.recurrent, config.embedding_size or vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.recurrent.output_size, *config.readout)
        self.readout = nn.Sequential()
        for before, after in zip(sizes, sizes[1:], strict=False):
            self.readout.extend((nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout)))
        self.output = nn.Linear(sizes[-1], vocabulary)

    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        e = Padded(self.dropout(self._embedded(tokens.data)), tokens.lengths)
        h, state = self.recurrent(e, state, own_ends=own_ends)
        return self.output(self.readout(self.dropout(h.data))), state

    def begin(self, batch_size: int) -> State:
        return self.recurrent.begin(batch_size)

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        h, state = self.recurrent.step(self._embedded(tokens), state)
        return self.output(self.readout(h)), state

    def _embedded(self, tokens: Tensor) -> Tensor:
        """Tokens (...) to (..., E), or one-hot (..., V)."""
        if self.embedding is None:
            return F.one_hot(tokens, self.vocabulary).to(self.output.weight.dtype)
        return self.embedding(tokens)
