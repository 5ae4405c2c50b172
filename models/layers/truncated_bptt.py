"""Truncated back-propagation through time over contiguous streams, Williams & Peng 1990 (see models/layers/rtrl.py).

Every k1 steps there is an update: the loss of those steps, its gradient carried back through the last k2 >= k1 steps
and no further. The state goes on from chunk to chunk, so what the network knows reaches back further than its gradient.
"""

from collections.abc import Sequence

from models.interface import Batch, LanguageModel, Loss, State
from models.search.state_pytree import detach_state


class CarriedChunks:
    """The chunks before the next one that its gradient still reaches, each with the state before it.

    reach: chunks of a window, k2 / k1. state: after the last chunk, None before the first.
    """

    def __init__(self, reach: int, state: State | None = None) -> None:
        self.reach, self.state = reach, state
        self.chunks: list[tuple[State | None, Batch]] = []

    @property
    def root(self) -> State | None:
        """The state before the next window."""
        return self.chunks[0][0] if self.chunks else self.state

    def window(self, chunk: Batch) -> list[Batch]:
        return [*(batch for _, batch in self.chunks), chunk]

    def push(self, chunk: Batch, after: State) -> None:
        """What the next window needs of a chunk that has been read; states are constants from now on."""
        self.chunks = [*self.chunks, (self.state, chunk)][max(0, len(self.chunks) + 2 - self.reach) :]
        self.state = detach_state(after)


def run_window(model: LanguageModel, window: Sequence[Batch], root: State | None) -> tuple[Loss, State]:
    """The loss of a window's last chunk and the state after it, differentiable through the whole window."""
    for batch in window[:-1]:
        _, root = model.advance(batch, root)
    return model.advance(window[-1], root)
