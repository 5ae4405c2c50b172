"""Where a long recording is cut: spans of speech and silence that add up to it, and the windows that are decoded."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Fate = Literal["speech", "silence"]


class Span(NamedTuple):
    """A piece of a recording, in its own samples (or frames, where it holds those), [begin, end)."""

    begin: int
    end: int
    fate: Fate = "speech"


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """max_seconds: speech of up to so many seconds is decoded as one window; what is longer is cut into windows of
    equal length that share overlap_seconds, so that a word at a seam is whole in one of two.
    """

    max_seconds: float = 20.0
    overlap_seconds: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap_seconds <= self.max_seconds or self.max_seconds < 1:
            raise ValueError("windows.max_seconds is at least 1, and overlap_seconds at most half of it")


def split_span(span: Span, rate: int, config: WindowConfig) -> list[Span]:
    """Windows that cover a span, neighbors sharing at least overlap_seconds; one where it is short enough."""
    size, longest = span.end - span.begin, max(1, int(config.max_seconds * rate))
    if size <= longest:
        return [span]
    shared = min(int(config.overlap_seconds * rate), longest - 1)
    count = math.ceil((size - shared) / (longest - shared))
    begins = [span.begin + k * (size - shared) // count for k in range(count + 1)]
    return [Span(begin, after + shared, span.fate) for begin, after in zip(begins, begins[1:], strict=False)]


def fill_silence(speech: Iterable[Span], size: int) -> Iterator[Span]:
    """The spans with silence between them: they follow one another from 0 to the recording's size.

    speech: in order, none overlapping the next. Raises ValueError for others.
    """
    at = 0
    for span in speech:
        if not at <= span.begin < span.end <= size:
            raise ValueError(f"span {span} does not follow {at} within {size}")
        if span.begin > at:
            yield Span(at, span.begin, "silence")
        yield span
        at = span.end
    if at < size:
        yield Span(at, size, "silence")
