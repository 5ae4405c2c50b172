"""What became of every frame of a recording: decoded, silence, or failed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Fate = Literal["decoded", "silence", "failed"]


class Interval(NamedTuple):
    """Frames [begin, end) of a channel. silence: by voice activity detection. failed: could not be read. segment: of
    what was decoded, its number in the transcript. flags: why it is doubtful (suspicious_readings.py).
    """

    channel: int
    begin: int
    end: int
    fate: Fate
    segment: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RecordingSummary:
    """A recording that has been read: what is known without decoding. rate: frames a second. frames: in all. intervals:
    of each channel they add up to these. sha256: of the file, "" for samples. flaw: what was wrong, "" for nothing.
    """

    rate: int
    frames: int
    intervals: tuple[Interval, ...]
    sha256: str = ""
    flaw: str = ""


def check_coverage(intervals: Iterable[Interval], frames: int) -> None:
    """Raises ValueError where those of a channel do not follow one another from 0 to the end."""
    reached = dict[int, int]()
    for interval in intervals:
        if interval.begin != reached.get(interval.channel, 0) or interval.end <= interval.begin:
            raise ValueError(f"{interval} does not follow frame {reached.get(interval.channel, 0)}")
        reached[interval.channel] = interval.end
    if frames and any(end != frames for end in reached.values()):
        raise ValueError(f"the intervals reach {reached}, and the recording has {frames} frames")
