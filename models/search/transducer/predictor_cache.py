"""What a transducer's prediction network, and a language model, say after each prefix of a search: computed once."""

from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Decoder, State, Transducer
from models.search.state_pytree import align_steps, select_rows, tree_map
from models.special_tokens import BOS


class PredictorOutput(NamedTuple):
    """After prefixes, a row each."""

    join: Tensor  # (R, J), what `Transducer.join` takes
    state: State
    lm_log_probs: Tensor | None  # (R, V)
    lm_state: State


class PredictorCache:
    """Rows for the prefixes of a search, in tensors that have room for so many."""

    def __init__(self, model: Transducer, lm: Decoder | None, batch: int, room: int) -> None:
        self.model, self.lm, self.room, self.used = model, lm, room, 0
        join, state = model.start(batch)
        said = PredictorOutput(join, state, None, None)
        if lm is not None:
            begin = torch.full((batch,), BOS, device=join.device)
            step = lm.step(begin, lm.start(None, batch), None)
            said = PredictorOutput(join, state, step.log_probs, step.state)
        self.said: PredictorOutput = tree_map(lambda leaf: leaf.new_empty(room, *leaf.shape[1:]), said)
        self._add(said, batch)

    @property
    def left(self) -> int:
        return self.room - self.used

    def grow(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """New rows (N,) for the prefixes of these rows (N,) with one more token (N,) each."""
        before: PredictorOutput = select_rows(self.said, rows)
        join, state = self.model.predict(tokens, before.state)
        said = PredictorOutput(join, state, None, None)
        if self.lm is not None:
            step = self.lm.step(tokens, before.lm_state, None)
            said = PredictorOutput(join, state, step.log_probs, step.state)
        return self._add(said, len(tokens))

    def keep(self, rows: Tensor) -> Tensor:
        """Give up all but these rows. (room,) what the numbers of the rows become; 0 for those given up."""
        kept = rows.unique()
        self.used = 0
        numbers = torch.zeros(self.room, dtype=torch.long, device=rows.device)
        numbers[kept] = self._add(select_rows(self.said, kept), len(kept))
        return numbers

    def _add(self, said: PredictorOutput, count: int) -> Tensor:
        begin, self.used = self.used, self.used + count

        def put(held: Tensor, new: Tensor) -> None:
            if held.shape[1:] != new.shape[1:]:
                sizes = f"{tuple(held.shape[1:])} to {tuple(new.shape[1:])}"
                raise ValueError(
                    f"a state grew from {sizes} a row: this search needs states of one size, or a GrowingState"
                )
            held[begin : self.used] = new

        self.said, said = align_steps(self.said, said)
        for held, new in zip(self.said, said, strict=True):
            tree_map(put, held, new)
        return torch.arange(begin, self.used, device=said.join.device)
