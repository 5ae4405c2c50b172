"""A language model with ids of its own, as a search asks it: in the ids of the model that listens.

p(y_i | y_<i) of each of the search's tokens is that of the language model's token of the same text, not divided anew:
what only the language model has (capitals, punctuation) takes its share.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.interface import Memory, Padded, State, Step
from models.special_tokens import EOS, SPECIALS

RARE = -20.0  # nats, of a token that the language model does not have


class VocabMappedLM(nn.Module):
    """A `Decoder` without memory.

    model: a `LanguageModel`. ids: its id of each token of the search after the special ones. end: its id between two
    sentences. What else it would be asked of (blank, unknown) is `RARE`; an unknown token is read as an end.
    """

    read: Tensor  # (V,) the id that is read for each token of the search
    said: Tensor  # (V,) the id whose probability a token has, -1 for none

    def __init__(self, model: nn.Module, ids: Sequence[int], end: int) -> None:
        super().__init__()
        self.model: Any = model
        self.register_buffer("read", torch.tensor([end] * len(SPECIALS) + list(ids)))
        self.register_buffer("said", torch.tensor([-1] * len(SPECIALS) + list(ids)))
        self.said[EOS] = end

    def encode(self, source: Padded | None) -> None:
        """A language model has no memory."""

    def start(self, memory: Memory | None, batch_size: int) -> State:
        """The state before BOS."""
        return self.model.start(memory, batch_size)

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""
        found = self.model.step(self.read[tokens], state, memory)
        log_probs = found.log_probs[:, self.said.clamp(min=0)].masked_fill(self.said < 0, RARE)
        return Step(log_probs, found.state)
