"""Echo state network (Jaeger 2001, https://doi.org/10.24406/publica-fhg-291111) as a character language model.

h(t) = (1 - a) h(t-1) + a tanh(W_in x(t) + W_h h(t-1))      random and fixed; x(t): the one-hot character y_{t-1}
p(y_t | y_1 .. y_{t-1}) = softmax(W_out [x(t); h(t)] + b)   the read-out, all that is trained

The loss is convex in W_out: by default it is found by gradient descent on the cross-entropy, through the ordinary loop.
`ridge` gives Jaeger's closed form instead, in one pass: models/layers/ridge_regression.py says what p is then.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.echo_state import Config as Echo
from models.cells.echo_state import EchoState
from models.criteria.token_cross_entropy import shift_targets
from models.families.causal_lm import CausalLM
from models.interface import Batch, Padded, State
from models.layers.ridge_regression import LinearProbabilities, Moments, moments, ridge
from models.layers.rnn_layer import Unroll
from models.registry import check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """hidden_size: units of the reservoir. echo: its spectral radius, leak, density and input scale. ridge: the penalty
    of a read-out in closed form, 0 for one by gradient descent. floor: below which no token's score falls there.
    """

    hidden_size: int = 1000
    echo: Echo = Echo()
    ridge: float = 0.0
    floor: float = 1e-3

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "hidden_size")
        if self.ridge < 0 or not 0 < self.floor < 1:
            raise ValueError("ridge is not negative, floor is between 0 and 1")

    @property
    def closed_form(self) -> bool:
        return self.ridge > 0

    def build(self, source_size: int, target_size: int) -> "EchoStateNetwork":
        del source_size  # a language model reads what it writes
        return (RidgeEchoStateNetwork if self.closed_form else EchoStateNetwork)(self, target_size)


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


class RidgeEchoStateNetwork(EchoStateNetwork):
    """With its read-out in closed form: a `ClosedForm`."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.output = LinearProbabilities(vocabulary + config.hidden_size, vocabulary, config.floor)

    @torch.no_grad()
    def moments(self, batch: Batch, state: State | None) -> tuple[Moments, State]:
        """The sums of [x; h; 1] (F = V + H + 1) and the one-hot tokens (V) that follow."""
        tokens, target = shift_targets(batch)
        seen, state = self.observe(tokens, state)
        states, real = F.pad(seen.data, (0, 1), value=1.0), target.mask()
        return moments(states[real], F.one_hot(target.data[real], self.vocabulary)), state

    @torch.no_grad()
    def solve(self, moments: Moments) -> None:
        weight = ridge(moments, self.config.ridge)
        self.output.weight.copy_(weight[:-1].mT)
        self.output.bias.copy_(weight[-1])
