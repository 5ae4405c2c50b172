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
from models.criteria.cross_entropy import cross_entropy, shift_targets
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded, State, Step, restore_config
from models.layers.rnn_layer import Unroll
from models.search.attention.continuation import continuation_beam


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


class EchoStateNetwork(Model):
    """A `LanguageModel`: for sentences or streams."""

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

    def loss(self, batch: Batch) -> Loss:
        tokens, target = shift_targets(batch)
        return cross_entropy(self.output(self.observe(tokens, None, own_ends=False)[0].data), target)

    def advance(self, batch: Batch, state: State | None) -> tuple[Loss, State]:
        tokens, target = shift_targets(batch)
        seen, state = self.observe(tokens, state)
        return cross_entropy(self.output(seen.data), target), state

    def predict(self, tokens: Padded, state: State | None) -> tuple[Padded, State]:
        seen, state = self.observe(tokens, state)
        return Padded(self.output(seen.data).log_softmax(-1), tokens.lengths), state

    def encode(self, source: Padded | None) -> None:
        """A language model has no memory: every source is as good as none."""

    def start(self, memory: Padded | None, batch_size: int) -> State:
        assert memory is None, "a language model has no memory"
        return self.reservoir.begin(batch_size)

    def step(self, tokens: Tensor, state: State, memory: Padded | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""
        assert memory is None, "a language model has no memory"
        x = F.one_hot(tokens, self.vocabulary).to(self.output.weight.dtype)
        h, state = self.reservoir.step(x, state)
        return Step(self.output(torch.cat((x, h), 1)).log_softmax(-1), state)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return continuation_beam(self, source, beam, lm)


def ridge(states: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """The read-out W (F, K) of states (N, F) that minimises |states W - targets|^2 + penalty |W|^2, targets (N, K).

    W = (S' S + penalty I)^-1 S' Y. Raises ValueError unless penalty > 0, which makes it the only one.
    """
    if penalty <= 0:
        raise ValueError(f"the penalty of a ridge regression is above 0, not {penalty}")
    gram = states.mT @ states
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(states.mT @ targets, torch.linalg.cholesky(gram))
