"""A second reading of a window that was read doubtfully: of shorter windows, cut out of its stored features."""

import math
from collections.abc import Sequence

from tasks.features.front_end import FrontEnd
from tasks.transcription.assemble_transcript import Reading, shift_words
from tasks.transcription.merge_windows import find_seam
from tasks.transcription.transcript import Alternative, Word

LEAST_SECONDS, SHARED_SECONDS = 4.0, 2.0  # of a window that is halved, and that its halves share at most
SHIFT_SECONDS = 0.1  # at both ends of a shorter one: all steps of the network fall elsewhere


def shorter_windows(frames: int, front_end: FrontEnd) -> list[tuple[int, int]]:
    """Two halves that share a quarter, or of a short window that without its ends; [begin, end) in stored frames."""
    second = 1000 / front_end.hop_ms
    if frames < LEAST_SECONDS * second:
        cut = min(round(SHIFT_SECONDS * second), (frames - 1) // 3)
        return [(cut, frames - cut)]
    half = round(min(frames / 4, SHARED_SECONDS * second) / 2)
    return [(0, frames // 2 + half), (frames // 2 - half, frames)]


def join_readings(windows: Sequence[tuple[float, float]], readings: Sequence[Reading]) -> Reading:
    """Those of windows [begin, end) seconds that overlap, as one."""
    words, last = list[Word](), 0.0
    for (begin, end), reading in zip(windows, readings, strict=True):
        heard = shift_words(reading.words, begin, end)
        kept, first = find_seam(words, heard, (begin, last)) if words else (0, 0)
        words, last = [*words[:kept], *heard[first:]], end
    score = math.fsum(reading.n_best[0].score for reading in readings)
    text = " ".join(word.text for word in words)
    return Reading(tuple(words), (Alternative(text, score),), any(reading.truncated for reading in readings))
