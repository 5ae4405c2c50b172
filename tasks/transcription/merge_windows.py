"""The words of windows that overlap, joined so that none is said twice and none is lost.

A window knows little of a word that it cuts, at either end. So two windows are joined in the middle of what they share:
at the word nearest to it that both have heard at the same time, or where they have none, at the middle itself.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from tasks.transcription.transcript import Word

SLACK = 0.5  # seconds that the times of one word in two windows may differ by


def join_words(before: Sequence[Word], after: Sequence[Word], shared: tuple[float, float]) -> list[Word]:
    """The words of two windows that share these seconds of the recording, as those of one.

    Where words have no times, the windows are joined at the longest run of words that both have.
    """
    middle = (shared[0] + shared[1]) / 2
    if any(word.start is None for word in (*before, *after)):
        return _join_untimed(before, after)
    tail = list(takewhile(lambda i: _middle(before[i]) >= shared[0] - SLACK, reversed(range(len(before)))))
    head = [j for j, word in enumerate(after) if _middle(word) <= shared[1] + SLACK]
    places = list[tuple[float, int, int]]()
    for i in tail:
        j = _nearest(before[i], after, head)
        if j is not None and _nearest(after[j], before, tail) == i:
            places.append((abs(_middle(before[i]) - middle), i, j))
    if places:
        _, i, j = min(places)
        return [*before[: i + 1], *after[j + 1 :]]
    kept = [word for word in before if _middle(word) < middle]
    return [*kept, *(word for word in after if _middle(word) >= middle)]


def _nearest(word: Word, others: Sequence[Word], places: Sequence[int]) -> int | None:
    """Where among others the same word is said at nearly the same time."""
    apart = [(abs(_middle(others[k]) - _middle(word)), k) for k in places if others[k].text == word.text]
    seconds, place = min(apart, default=(SLACK + 1, 0))
    return place if seconds <= SLACK else None


def _middle(word: Word) -> float:
    return ((word.start or 0.0) + (word.end or 0.0)) / 2


def _join_untimed(before: Sequence[Word], after: Sequence[Word]) -> list[Word]:
    tail = before[-len(after) :] if after else []
    matcher = SequenceMatcher(None, [word.text for word in tail], [word.text for word in after], autojunk=False)
    same = matcher.find_longest_match()
    if not same.size:
        return [*before, *after]
    return [*before[: len(before) - len(tail) + same.a], *after[same.b :]]
