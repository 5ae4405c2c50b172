"""The words of windows that overlap, joined so that none is said twice and none is lost.

A window knows little of a word that it cuts, at either end. So two windows are joined in the middle of what they share:
at the word nearest to it that both have, or where they have none in common, at the middle itself.
"""

from collections.abc import Sequence

from tasks.text.align_words import match_words
from tasks.transcription.transcript import Word

SLACK = 0.5  # seconds that the times of one word in two windows may differ by


def join_words(before: Sequence[Word], after: Sequence[Word], shared: tuple[float, float]) -> list[Word]:
    """The words of two windows that share these seconds of the recording, as those of one.

    Where words have no times, all of both are compared.
    """
    middle = (shared[0] + shared[1]) / 2
    first = next((i for i, word in enumerate(before) if not _ends_by(word, shared[0] - SLACK)), len(before))
    stop = next((j for j, word in enumerate(after) if _begins_at(word, shared[1] + SLACK)), len(after))
    tail, head = before[first:], after[:stop]
    pairs = match_words([word.text for word in tail], [word.text for word in head])
    same = [(i, j) for i, j in pairs if _close(tail[i], head[j])]
    if same:
        i, j = min(same, key=lambda pair: abs(_middle(tail[pair[0]], middle) - middle))
        return [*before[: first + i + 1], *after[j + 1 :]]
    kept = [word for word in before if _middle(word, -1.0) < middle]
    last = kept[-1].end if kept and kept[-1].end is not None else middle
    added = [word for word in after if _middle(word, middle) >= middle]
    return [*kept, *(word for word in added if word.end is None or word.end > last)]


def _ends_by(word: Word, second: float) -> bool:
    return word.end is not None and word.end <= second


def _begins_at(word: Word, second: float) -> bool:
    return word.start is not None and word.start >= second


def _close(one: Word, other: Word) -> bool:
    if one.start is None or other.start is None:
        return True
    return abs(one.start - other.start) <= SLACK


def _middle(word: Word, unknown: float) -> float:
    return unknown if word.start is None or word.end is None else (word.start + word.end) / 2
