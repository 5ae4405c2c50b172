"""What language models share: an architecture says what it thinks of the next token, and what it remembers.

log p(y) = sum_t log p(y_t | y_1 .. y_{t-1})        p = softmax of the logits
"""

from abc import abstractmethod

import torch
from torch import Tensor

from models.criteria.token_cross_entropy import cross_entropy, shift_targets
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Memory, Model, Padded, State, Step
from models.search.attention.continuation_beam import continuation_beam


class CausalLM(Model):
    """A `LanguageModel`, for sentences or streams: `begin` and `logits` are all it takes."""

    @abstractmethod
    def begin(self, batch_size: int) -> State:
        """The state before the first token."""

    @abstractmethod
    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        """Tokens (B, T) to the logits (B, T, V) of each one's successor, and the state at each row's own end.

        own_ends: whether that state is wanted; where it is not, any will do.
        """

    def next_logits(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The same of one token (N,) each: (N, V). For an architecture with a faster way for one step."""
        logits, state = self.logits(Padded(tokens[:, None], torch.ones_like(tokens)), state)
        return logits[:, 0], state

    def loss(self, batch: Batch) -> Loss:
        tokens, target = shift_targets(batch)
        return cross_entropy(self.logits(tokens, None, own_ends=False)[0], target)

    def advance(self, batch: Batch, state: State | None) -> tuple[Loss, State]:
        tokens, target = shift_targets(batch)
        logits, state = self.logits(tokens, state)
        return cross_entropy(logits, target), state

    def predict(self, tokens: Padded, state: State | None) -> tuple[Padded, State]:
        logits, state = self.logits(tokens, state)
        return Padded(logits.log_softmax(-1), tokens.lengths), state

    def encode(self, source: Padded | None) -> None:
        """A language model has no memory: every source is as good as none."""

    def start(self, memory: Memory | None, batch_size: int) -> State:
        assert memory is None, "a language model has no memory"
        return self.begin(batch_size)

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""
        assert memory is None, "a language model has no memory"
        logits, state = self.next_logits(tokens, state)
        return Step(logits.log_softmax(-1), state)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return continuation_beam(self, source, beam, lm)
