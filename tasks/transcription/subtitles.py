"""A transcript as subtitles, SubRip and WebVTT, broken as broadcasters break them.

A cue has two lines of 42 characters at most, stands for 1 to 7 seconds, and none overlaps the next (the limits of the
BBC's and Netflix's guidelines). It ends before a pause of PAUSE_MS, and where the next word has no room in it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from typing import NamedTuple

from tasks.transcription.transcript import Segment, Transcript, Word

LINE, LINES = 42, 2
SHORTEST_MS, LONGEST_MS, PAUSE_MS = 1000, 7000, 700


class Cue(NamedTuple):
    """begin, end: milliseconds."""

    begin: int
    end: int
    lines: tuple[str, ...]


class _Piece(NamedTuple):
    """A word, or as much of a long one as a line holds, in milliseconds."""

    text: str
    begin: int
    end: int


def srt(transcript: Transcript) -> str:
    blocks = (
        f"{number}\n{_clock(cue.begin, ',')} --> {_clock(cue.end, ',')}\n" + "".join(f"{line}\n" for line in cue.lines)
        for number, cue in enumerate(make_cues(transcript), 1)
    )
    return "\n".join(blocks)


def vtt(transcript: Transcript) -> str:
    blocks = (
        f"{_clock(cue.begin, '.')} --> {_clock(cue.end, '.')}\n" + "".join(f"{_escaped(line)}\n" for line in cue.lines)
        for cue in make_cues(transcript)
    )
    return "\n".join(["WEBVTT\n", *blocks])


def make_cues(transcript: Transcript) -> list[Cue]:
    """All words in order, each in one cue. Who speaks in different channels is not in one cue, and where they speak at
    once the later one waits.
    """
    heard = [list(_groups(_pieces(timed_words(transcript.of_channel(one))))) for one in transcript.channels]
    found, free = list[Cue](), 0
    for pieces in merge(*heard, key=lambda group: group[0].begin):
        begin = max(free, pieces[0].begin)
        end = min(max(pieces[-1].end, begin + SHORTEST_MS), begin + LONGEST_MS)
        found.append(Cue(begin, end, balance_lines([piece.text for piece in pieces])))
        free = end
    return found


def timed_words(transcript: Transcript) -> Iterator[Word]:
    """With times that do not fall; where the model knows none, a segment's words share it by their lengths."""
    at = 0.0
    for segment in transcript.segments:
        for word in _spread(segment) if any(word.start is None for word in segment.words) else segment.words:
            start = max(at, word.start or 0.0)
            at = max(start, word.end or 0.0)
            yield word._replace(start=start, end=at)


def _spread(segment: Segment) -> Iterator[Word]:
    total, done = sum(len(word.text) + 1 for word in segment.words), 0
    for word in segment.words:
        start, done = done, done + len(word.text) + 1
        times = (segment.start + (segment.end - segment.start) * part / total for part in (start, done))
        first, last = times
        yield word._replace(start=first, end=last)


def _pieces(words: Iterable[Word]) -> Iterator[_Piece]:
    for word in words:
        begin, end = (round(1000 * (at or 0.0)) for at in (word.start, word.end))
        count = math.ceil(len(word.text) / LINE)
        edges = [begin + (end - begin) * k // count for k in range(count + 1)]
        for k in range(count):
            yield _Piece(word.text[LINE * k : LINE * (k + 1)], edges[k], edges[k + 1])


def _groups(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Those of each cue. A pause ends it only where the next cue comes late enough for this one to be read."""
    group = list[_Piece]()
    for piece in pieces:
        if group:
            pause = piece.begin - group[-1].end >= PAUSE_MS and piece.begin - group[0].begin >= SHORTEST_MS
            long = piece.end - group[0].begin > LONGEST_MS
            if pause or long or not _fits([*(p.text for p in group), piece.text]):
                yield group
                group = []
        group.append(piece)
    if group:
        yield group


def _fits(words: Sequence[str]) -> bool:
    lines, length = 1, -1
    for word in words:
        if length + 1 + len(word) > LINE:
            lines, length = lines + 1, -1
        length += 1 + len(word)
    return lines <= LINES


def balance_lines(words: Sequence[str]) -> tuple[str, ...]:
    """One line where it is enough, else the two that differ least in length."""
    whole = " ".join(words)
    if len(whole) <= LINE:
        return (whole,)
    halves = ((" ".join(words[:k]), " ".join(words[k:])) for k in range(1, len(words)))
    return min((pair for pair in halves if max(map(len, pair)) <= LINE), key=lambda pair: max(map(len, pair)))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{ms:03}"
