"""The readings of a recording's windows to its transcript, of which each frame's fate is told."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from tasks.transcription.coverage import Interval, RecordingSummary, check_coverage
from tasks.transcription.merge_windows import find_seam
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word


class Reading(NamedTuple):
    """One window's words, their seconds counted from the window's begin, and its readings, best first. flags: why it is
    doubtful.
    """

    words: tuple[Word, ...]
    n_best: tuple[Alternative, ...]
    truncated: bool
    flags: tuple[str, ...] = ()


class WindowReading(NamedTuple):
    """What was read in the frames [begin, end) of a channel."""

    channel: int
    begin: int
    end: int
    reading: Reading


class _Part(NamedTuple):
    """A window's words at their seconds of the recording, and the frames that are its own."""

    window: WindowReading
    words: Sequence[Word]
    begin: int
    end: int


def assemble_transcript(summary: RecordingSummary, readings: Iterable[WindowReading]) -> Transcript:
    """readings: of all windows of the recording, in any order. Raises ValueError where they are not those of the
    summary's decoded intervals.
    """
    ordered = sorted(readings, key=lambda found: (found.channel, found.begin, found.end))
    waiting = {channel: deque(found) for channel, found in groupby(ordered, lambda found: found.channel)}
    parts, rest = list[_Part](), list[Interval]()
    for interval in summary.intervals:
        if interval.fate != "decoded":
            rest.append(interval)
            continue
        inside, queue = list[WindowReading](), waiting.get(interval.channel, deque())
        while queue and queue[0].begin < interval.end:
            inside.append(queue.popleft())
        parts += _join(inside, interval, summary.rate)
    if left := sum(map(len, waiting.values())):
        raise ValueError(f"{left} windows lie in no decoded interval of the recording")
    parts.sort(key=lambda part: (part.begin, part.window.channel))
    segments = tuple(_segment(part, summary.rate) for part in parts)
    decoded = [
        Interval(part.window.channel, part.begin, part.end, "decoded", number, part.window.reading.flags)
        for number, part in enumerate(parts)
    ]
    coverage = sorted([*rest, *decoded], key=lambda interval: (interval.channel, interval.begin))
    check_coverage(coverage, summary.frames)
    return Transcript(
        segments=segments,
        coverage=tuple(coverage),
        seconds=summary.frames / summary.rate,
        rate=summary.rate,
        sha256=summary.sha256,
        flaw=summary.flaw,
    )


def _join(windows: Sequence[WindowReading], span: Interval, rate: int) -> list[_Part]:
    """Those of one span of speech, neighbors divided at a word that both have heard."""
    if not windows or windows[0].begin != span.begin or windows[-1].end != span.end:
        raise ValueError(f"the windows do not cover {span}")
    found = list[_Part]()
    for window in windows:
        words = shift_words(window.reading.words, window.begin / rate, window.end / rate)
        if not found:
            found.append(_Part(window, words, window.begin, window.end))
            continue
        before = found[-1]
        kept, first = find_seam(before.words, words, (window.begin / rate, before.window.end / rate))
        edge = _edge(before.words[:kept], words[first:], (window.begin, before.window.end), rate)
        edge = max(edge, before.begin + 1)
        found[-1] = before._replace(words=before.words[:kept], end=edge)
        found.append(_Part(window, words[first:], edge, window.end))
    return found


def _edge(before: Sequence[Word], after: Sequence[Word], shared: tuple[int, int], rate: int) -> int:
    """Between the last word of one window and the first of the next, within what they share."""
    begin, end = shared
    last = before[-1].end if before and before[-1].end is not None else begin / rate
    first = after[0].start if after and after[0].start is not None else end / rate
    return min(max(begin, round((max(last, begin / rate) + min(first, end / rate)) / 2 * rate)), end)


def _segment(part: _Part, rate: int) -> Segment:
    reading = part.window.reading
    n_best = reading.n_best
    if len(part.words) != len(reading.words):
        n_best = (Alternative(" ".join(word.text for word in part.words), reading.n_best[0].score),)
    return Segment(
        start=part.begin / rate,
        end=part.end / rate,
        words=tuple(part.words),
        n_best=n_best,
        truncated=reading.truncated,
        channel=part.window.channel,
        flags=reading.flags,
    )


def shift_words(words: Iterable[Word], begin: float, end: float) -> list[Word]:
    """At their seconds of the recording; the last step of a model may reach beyond the end of a window."""
    return [
        word
        if word.start is None or word.end is None
        else word._replace(start=round(min(begin + word.start, end), 4), end=round(min(begin + word.end, end), 4))
        for word in words
    ]
