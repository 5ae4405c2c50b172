"""Truncated back-propagation through time over contiguous streams, Williams & Peng 1990 (see models/layers/rtrl.py).

Every k1 steps there is an update: the loss of those steps, its gradient carried back through the last k2 >= k1 steps
and no further. The state goes on from chunk to chunk, so what the network knows reaches back further than its gradient.
"""

from collections.abc import Iterator, Sequence

from models.interface import Batch, LanguageModel, Loss, Padded, State
from models.search.state_tree import detach_state


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


def truncated(
    model: LanguageModel, stream: Batch, k1: int, k2: int, state: State | None
) -> Iterator[tuple[Loss, State]]:
    """For each k1 steps of a stream (B, T): their loss, to be differentiated at once, and the state after, detached.

    The last chunk may be shorter. Whoever iterates updates the weights in between; a window of k2 > k1 steps is run
    again from the state before it, and does not reach back beyond this stream's first step.
    Raises ValueError unless k2 is a multiple of k1 and the batch has a source.
    """
    if k1 < 1 or k2 < k1 or k2 % k1:
        raise ValueError(f"k2 is a multiple of k1, and both at least 1, not k1 {k1} and k2 {k2}")
    if stream.source is None:
        raise ValueError("sentences have no state to carry on: truncation is for streams, with a source")
    return _chunks(model, stream, k1, CarriedChunks(k2 // k1, state))


def _chunks(model: LanguageModel, stream: Batch, k1: int, past: CarriedChunks) -> Iterator[tuple[Loss, State]]:
    for begin in range(0, stream.target.data.shape[1], k1):
        chunk = cut_steps(stream, begin, begin + k1)
        loss, after = run_window(model, past.window(chunk), past.root)
        past.push(chunk, after)
        yield loss, past.state


def cut_steps(stream: Batch, begin: int, end: int) -> Batch:
    """Steps [begin, end) of a stream, as far as each row has them."""

    def part(x: Padded) -> Padded:
        data = x.data[:, begin:end]
        return Padded(data, (x.lengths - begin).clamp(0, data.shape[1]))

    return Batch(stream.keys, stream.source and part(stream.source), part(stream.target))
