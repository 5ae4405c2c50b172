"""What was said in a recording: words with times and confidence, the other readings, and where there was silence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tasks.transcription.coverage import Interval
from tasks.transcription.windows import Span


class Word(NamedTuple):
    """start, end: seconds of the recording, None where the model cannot say. confidence: in [0, 1], the probability
    that the word is right (tasks/transcription/word_confidence.py).
    """

    text: str
    start: float | None
    end: float | None
    confidence: float


class Alternative(NamedTuple):
    """A reading. score: as models/interface.py defines it for a `Beam`, in nats."""

    text: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What was said from `start` to `end` (seconds) in a channel: one window that was decoded, as far as it is not the
    next one's. n_best: the readings, best first; where some words are the next one's, that one alone. truncated: the
    search came to its limit of length, and more may have been said. flags: why it is doubtful, see
    suspicious_readings.py.
    """

    start: float
    end: float
    words: tuple[Word, ...]
    n_best: tuple[Alternative, ...]
    truncated: bool = False
    channel: int = 0
    flags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float | None:
        """The share of the words that is expected to be right: their mean confidence. None without words."""
        return mean_confidence(self.words)


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A whole recording. seconds: its length. rate: of its samples. coverage: what became of each of them; of each
    channel the intervals add up to the recording. sha256: of the file, "" for samples. flaw: what was wrong with it.
    """

    segments: tuple[Segment, ...]
    coverage: tuple[Interval, ...]
    seconds: float
    rate: int
    sha256: str = ""
    flaw: str = ""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Of the first channel: speech as it was found, silence, and what could not be read."""
        found = list[Span]()
        for interval in (i for i in self.coverage if i.channel == self.channels[0]):
            fate = "speech" if interval.fate == "decoded" else interval.fate
            if found and found[-1].end == interval.begin and found[-1].fate == fate:
                found[-1] = Span(found[-1].begin, interval.end, fate)
            else:
                found.append(Span(interval.begin, interval.end, fate))
        return tuple(found)

    @property
    def channels(self) -> tuple[int, ...]:
        """That were heard one by one; of a mix the first alone."""
        heard = {one.channel for one in (*self.segments, *self.coverage)}
        return tuple(sorted(heard)) or (0,)

    def of_channel(self, channel: int) -> "Transcript":
        """What was said in one of them."""
        segments = tuple(segment for segment in self.segments if segment.channel == channel)
        return replace(self, segments=segments, coverage=tuple(i for i in self.coverage if i.channel == channel))

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments if segment.words)

    @property
    def words(self) -> tuple[Word, ...]:
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def confidence(self) -> float | None:
        """As a segment's."""
        return mean_confidence(self.words)

    @property
    def n_best(self) -> tuple[Alternative, ...]:
        """Of a recording that is one segment; of a longer one its text and the sum of the scores: see `segments`."""
        if len(self.segments) == 1:
            return self.segments[0].n_best
        return (Alternative(self.text, math.fsum(s.n_best[0].score for s in self.segments)),)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "text": self.text,
            "confidence": self.confidence,
            "seconds": self.seconds,
            "words": [word._asdict() for word in self.words],
            "n_best": [reading._asdict() for reading in self.n_best],
            "segments": [_segment(segment) for segment in self.segments],
            "spans": [{"begin": s.begin / self.rate, "end": s.end / self.rate, "fate": s.fate} for s in self.spans],
            "coverage": [interval._asdict() for interval in self.coverage],
            "rate": self.rate,
            "sha256": self.sha256,
            "flaw": self.flaw,
        }


def mean_confidence(words: Sequence[Word]) -> float | None:
    return math.fsum(word.confidence for word in words) / len(words) if words else None


def _segment(segment: Segment) -> dict[str, Any]:
    told = {
        name: getattr(segment, name) for name in ("channel", "start", "end", "text", "confidence", "truncated", "flags")
    }
    return told | {"n_best": [reading._asdict() for reading in segment.n_best]}
