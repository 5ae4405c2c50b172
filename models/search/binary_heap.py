"""A binary heap in two arrays, compiled: scores, the least first, and what each belongs to."""

from typing import Any

from models.search.language.ctc_fusion_automaton import Floats
from models.search.numba_jit import jit

FEW = 64  # so many are put in order faster by comparing each with all


@jit
def sift(scores: Floats, names: Any, at: int, size: int, entry: tuple[float, int]) -> None:
    """Put an entry into a heap whose place `at` is free, with the least at its top."""
    score, name = entry
    while 2 * at + 1 < size:
        child = 2 * at + 1
        child += scores[min(child + 1, size - 1)] < scores[child]  # as a number: a jump would be hard to foresee
        if score <= scores[child]:
            break
        scores[at], names[at] = scores[child], names[child]
        at = child
    scores[at], names[at] = score, name


@jit
def heap(scores: Floats, names: Any, size: int) -> None:
    for at in range(size // 2 - 1, -1, -1):
        sift(scores, names, at, size, (scores[at], names[at]))


@jit
def sort(scores: Floats, names: Any, size: int) -> None:
    """Both by falling scores; at once where they nearly are."""
    moves = 0
    for at in range(1, size):
        score, name = scores[at], names[at]
        while at and scores[at - 1] < score:
            scores[at], names[at] = scores[at - 1], names[at - 1]
            at, moves = at - 1, moves + 1
        scores[at], names[at] = score, name
        if moves > 12 * size:
            break
    else:
        return
    heap(scores, names, size)
    for last in range(size - 1, 0, -1):
        score, name = scores[last], names[last]
        scores[last], names[last] = scores[0], names[0]
        sift(scores, names, 0, last, (score, name))


@jit
def order(scores: Floats, names: Any, space: Any, size: int) -> None:
    """The names by falling scores. The scores may end in any order; `space` is for as many names."""
    if size > FEW:
        sort(scores, names, size)
        return
    for i in range(size):
        score, above = scores[i], 0
        for j in range(size):
            above += scores[j] > score
        for j in range(i):
            above += scores[j] == score
        space[above] = names[i]
    for i in range(size):
        names[i] = space[i]
