"""Several models that write one text together, step by step.

p(y_i | x, y_<i) = 1/M sum_m p_m        probabilities: their mean (Sutskever et al. 2014, section 3.6)
log p = 1/M sum_m log p_m - log Z       log_probs: their geometric mean, divided by its sum Z
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from models.interface import Decoder, Memory, Padded, State, Step
from models.layers.ensemble import mean_of_probabilities

Mean = Literal["probabilities", "log_probs"]


class EnsembleDecoder:
    """A `Decoder`. Its memory is theirs, side by side. Raises ValueError without any model."""

    def __init__(self, models: Sequence[Decoder], mean: Mean = "probabilities") -> None:
        if not models or mean not in get_args(Mean):
            raise ValueError(f"an ensemble has a model or more, and mean is one of {', '.join(get_args(Mean))}")
        self.models, self.mean = tuple(models), mean

    def encode(self, source: Padded | None) -> Memory:
        """A source, read by each model. Raises ValueError for models that have no memory."""
        known = [model.encode(source) for model in self.models]
        memories = tuple(memory for memory in known if memory is not None)
        if len(memories) < len(known):
            raise ValueError("an ensemble searches models that look at a source, and one of these is a language model")
        return Memory(memories, memories[0].lengths)

    def start(self, memory: Memory | None, batch_size: int) -> State:
        return tuple(model.start(own, batch_size) for model, own in self._pairs(memory))

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        """Tokens (N,) to log-probabilities (N, V); attention is the mean of theirs, where it is of one form.

        Raises ValueError for models of different vocabularies.
        """
        pairs = zip(self._pairs(memory), state, strict=True)
        steps = [model.step(tokens, own, part) for (model, part), own in pairs]
        if len({step.log_probs.shape for step in steps}) > 1:
            sizes = ", ".join(str(step.log_probs.shape[1]) for step in steps)
            raise ValueError(f"an ensemble's models know one vocabulary, not {sizes} tokens")
        log_probs = self.mean_of([step.log_probs for step in steps])
        return Step(log_probs, tuple(step.state for step in steps), _attention(steps))

    def mean_of(self, said: list[Tensor]) -> Tensor:
        """The log-probabilities (..., V) of each model to theirs together."""
        return (
            mean_of_probabilities(said) if self.mean == "probabilities" else torch.stack(said).mean(0).log_softmax(-1)
        )

    def _pairs(self, memory: Memory | None) -> list[tuple[Decoder, Memory]]:
        assert memory is not None, "an ensemble looks at its models' memories"
        return list(zip(self.models, memory.data, strict=True))


def _attention(steps: Sequence[Step]) -> Tensor | None:
    paid = [step.attention for step in steps if step.attention is not None]
    if len(paid) < len(steps) or len({x.shape for x in paid}) > 1:
        return None
    return torch.stack(paid).mean(0)
