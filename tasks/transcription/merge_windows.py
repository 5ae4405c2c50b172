"""The words of windows that overlap, joined so that none is said twice and none is lost.

A window knows little of a word that it cuts, at either end. So two windows are joined in the middle of what they share:
at the word nearest to it that both have heard at the same time, or where they have none, at the middle itself.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

from tasks.transcription.transcript import Word

SLACK = 0.5  # seconds that the times of one word in two windows may differ by


def join_words(before: Sequence[Word], after: Sequence[Word], shared: tuple[float, float]) -> list[Word]:
    """The words of two windows that share these seconds of the recording, as those of one."""
    kept, first = find_seam(before, after, shared)
    return [*before[:kept], *after[first:]]


def find_seam(before: Sequence[Word], after: Sequence[Word], shared: tuple[float, float]) -> tuple[int, int]:
    """So many words of the first window are kept, and those of the second from this one on.

    Where words have no times, the windows are joined at the longest run of words that both have.
    """
    middle = (shared[0] + shared[1]) / 2
    if any(word.start is None for word in (*before, *after)):
        return _untimed_seam(before, after)
    first = next((i for i in reversed(range(len(before))) if _middle(before[i]) < shared[0] - SLACK), -1) + 1
    head = [word for word in after if _middle(word) <= shared[1] + SLACK]
    same = align_timed(before[first:], head)
    if same:
        i, j = min(same, key=lambda pair: abs(_middle(before[first + pair[0]]) - middle))
        return first + i + 1, j + 1
    return sum(_middle(word) < middle for word in before), sum(_middle(word) < middle for word in after)


def align_timed(one: Sequence[Word], other: Sequence[Word]) -> list[tuple[int, int]]:
    """Places (i, j) with i and j rising of the same word at nearly the same time: as many as there can be, and of all
    such pairings the one whose times differ least.
    """
    best = [[0.0] * (len(other) + 1) for _ in range(len(one) + 1)]  # of what follows i and j
    for i in reversed(range(len(one))):
        for j in reversed(range(len(other))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + _gain(one[i], other[j]))
    pairs, i, j = list[tuple[int, int]](), 0, 0
    while i < len(one) and j < len(other):
        gain = _gain(one[i], other[j])
        if gain and best[i][j] == best[i + 1][j + 1] + gain:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _gain(one: Word, other: Word) -> float:
    """Of a pair, 0 for none."""
    apart = abs(_middle(one) - _middle(other))
    return 1 - apart / 1000 if one.text == other.text and apart <= SLACK else 0.0


def _middle(word: Word) -> float:
    return ((word.start or 0.0) + (word.end or 0.0)) / 2


def _untimed_seam(before: Sequence[Word], after: Sequence[Word]) -> tuple[int, int]:
    tail = before[-len(after) :] if after else []
    matcher = SequenceMatcher(None, [word.text for word in tail], [word.text for word in after], autojunk=False)
    same = matcher.find_longest_match()
    if not same.size:
        return len(before), 0
    return len(before) - len(tail) + same.a, same.b
