"""Echo state network (Jaeger 2001, https://doi.org/10.24406/publica-fhg-291111) as a character language model.

h(t) = (1 - a) h(t-1) + a tanh(W_in x(t) + W_h h(t-1))      random and fixed; x(t): the one-hot character y_{t-1}
p(y_t | y_1 .. y_{t-1}) = softmax(W_out [x(t); h(t)] + b)   the read-out, all that is trained

The loss is convex in W_out. So that the network trains through the ordinary loop, on streams of any length, W_out is
found by gradient descent on the cross-entropy; for real-valued targets `ridge` gives Jaeger's closed form.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.echo_state import Config as Echo
from models.cells.echo_state import EchoState
from models.interface import Padded, State, restore_config
from models.families.causal_lm import CausalLM
from models.layers.rnn_layer import Unroll


@dataclass(frozen=True, kw_only=True)
class Config:
    """hidden_size: units of the reservoir. echo: its spectral radius, leak, density and input scale."""

    hidden_size: int = 1000
    echo: Echo = Echo()

    def __post_init__(self) -> None:
        restore_config(self)
        if self.hidden_size < 1:
            raise ValueError("hidden_size is at least 1")

    def build(self, source_size: int, target_size: int) -> "EchoStateNetwork":
        del source_size  # a language model reads what it writes
        return EchoStateNetwork(self, target_size)


class EchoStateNetwork(CausalLM):
    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.reservoir = Unroll(EchoState(config.echo, vocabulary, config.hidden_size))
        self.output = nn.Linear(vocabulary + config.hidden_size, vocabulary)

    def observe(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Padded, State]:
        """What the read-out sees of tokens (B, T): (B, T, V + H), and the state after them."""
        x = F.one_hot(tokens.data, self.vocabulary).to(self.output.weight.dtype)
        with torch.no_grad():
            h, state = self.reservoir(Padded(x, tokens.lengths), state, own_ends=own_ends)
        return Padded(torch.cat((x, h.data), -1), tokens.lengths), state

    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        seen, state = self.observe(tokens, state, own_ends=own_ends)
        return self.output(seen.data), state

    def begin(self, batch_size: int) -> State:
        return self.reservoir.begin(batch_size)

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        x = F.one_hot(tokens, self.vocabulary).to(self.output.weight.dtype)
        h, state = self.reservoir.step(x, state)
        return self.output(torch.cat((x, h), 1)), state


def ridge(states: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """The read-out W (F, K) of states (N, F) that minimises |states W - targets|^2 + penalty |W|^2, targets (N, K).

    W = (S' S + penalty I)^-1 S' Y. Raises ValueError unless penalty > 0, which makes it the only one.
    """
    if penalty <= 0:
        raise ValueError(f"the penalty of a ridge regression is above 0, not {penalty}")
    gram = states.mT @ states
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(states.mT @ targets, torch.linalg.cholesky(gram))
