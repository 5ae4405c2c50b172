"""Unitary evolution network (Arjovsky, Shah & Bengio 2016, https://arxiv.org/abs/1511.06464) as a language model.

h_t = modReLU(W h_{t-1} + V x_t)                 x_t = y_{t-1}, one of K; W unitary: models/cells/unitary.py
p(y_{t+1} | y_1 .. y_t) = softmax(U [Re h_t, Im h_t] + b_o)         equation 9

V and U begin as Glorot & Bengio say, b_o at 0 (section 4.2). The default is the paper's largest network, n = 512
complex units; for the copying problem it has 128. For streams that are read and answered token by token, such as that
problem, a batch has the answers as its target.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from models.cells.unitary import Unitary
from models.families.causal_lm import CausalLM
from models.interface import Padded, State
from models.layers.rnn_layer import Unroll
from models.registry import check_rates, check_sizes


@dataclass(frozen=True, kw_only=True)
class Config:
    """hidden_size: n. dropout: of what the softmax reads."""

    hidden_size: int = 512
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_sizes(self, "hidden_size")
        check_rates(self, "dropout")

    def build(self, source_size: int, target_size: int) -> "UnitaryRNN":
        del source_size  # a language model reads what it writes
        return UnitaryRNN(self, target_size)


class UnitaryRNN(CausalLM):
    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, 2 * config.hidden_size)  # V
        self.recurrent = Unroll(Unitary(config.hidden_size))
        self.output = nn.Linear(2 * config.hidden_size, vocabulary)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.xavier_uniform_(self.embedding.weight)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def begin(self, batch_size: int) -> State:
        return self.recurrent.begin(batch_size)

    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        driven = Padded(self.embedding(tokens.data), tokens.lengths)
        h, state = self.recurrent(driven, state, own_ends=own_ends)
        return self.output(self.dropout(h.data)), state

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        h, state = self.recurrent.step(self.embedding(tokens), state)
        return self.output(h), state
