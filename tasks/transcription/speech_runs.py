"""Runs of speech among pieces of sound that come one after the other, each given as soon as nothing can change it."""

from collections.abc import Iterable, Iterator

HYSTERESIS = 0.15  # as in silero-vad's own `get_speech_timestamps`


class SpeechRuns:
    """Runs of pieces [first, last) that are speech, of how probable it is in each piece.

    threshold: a run begins there, and ends where for `patience` pieces none reaches so much less HYSTERESIS; one of
    less than `least` pieces is none. begin: of the run that goes on, None for none. number: pieces heard.
    """

    def __init__(self, threshold: float, least: float, patience: float) -> None:
        self.threshold, self.least, self.patience, self.number = threshold, least, patience, 0
        self.begin: int | None = None
        self.quiet: int | None = None

    @property
    def end(self) -> int:
        """Of the run that goes on, as far as it is known."""
        return self.number if self.quiet is None else self.quiet

    @property
    def sure(self) -> bool:
        """Whether what goes on is long enough to be a run."""
        return self.begin is not None and self.end - self.begin >= self.least

    def hear(self, scores: Iterable[float]) -> Iterator[tuple[int, int]]:
        for score in scores:
            piece, self.number = self.number, self.number + 1
            if score >= self.threshold:
                self.begin, self.quiet = piece if self.begin is None else self.begin, None
            elif self.begin is not None and score < self.threshold - HYSTERESIS:
                self.quiet = piece if self.quiet is None else self.quiet
                if self.number - self.quiet >= self.patience:
                    yield from self.finish()

    def finish(self) -> Iterator[tuple[int, int]]:
        begin, end, sure = self.begin, self.end, self.sure
        self.begin = self.quiet = None
        if sure and begin is not None:
            yield begin, end


class RunPadding:
    """Each run with so much before and after it, or half of what lies between two; the last may go beyond the end."""

    def __init__(self, pad: float) -> None:
        self.pad = pad
        self.held: tuple[float, int] | None = None  # where the last run begins, padded, and where it ends
        self.last: int | None = None  # where it ends, also when it has been given

    def begin(self, first: float) -> float:
        """Of a run that begins there."""
        before = self.pad if self.last is None else min(self.pad, (first - self.last) / 2)
        return max(0.0, first - before)

    def hear(self, first: int, last: int) -> list[tuple[float, float]]:
        """The run before this one, where it has not been given."""
        begin, found = self.begin(first), list[tuple[float, float]]()
        if self.held is not None:
            found.append((self.held[0], self.held[1] + min(self.pad, (first - self.held[1]) / 2)))
        self.held, self.last = (begin, last), last
        return found

    def settle(self, quiet: float) -> list[tuple[float, float]]:
        """The last run, where none that begins at `quiet` or later is near enough to take from it."""
        return self.finish() if self.held is not None and self.held[1] + 2 * self.pad <= quiet else []

    def finish(self) -> list[tuple[float, float]]:
        held, self.held = self.held, None
        return [(held[0], held[1] + self.pad)] if held else []
