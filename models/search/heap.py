"""A binary heap in two arrays, compiled: scores, the least first, and what each belongs to."""

from typing import Any

import numpy as np

from models.search.automaton import Floats
from models.search.compiled import compiled

FEW = 64


@compiled
def sift(scores: Floats, names: Any, at: int, size: int, entry: tuple[float, int]) -> None:
    """Put an entry into a heap whose place `at` is free, with the least at its top."""
    score, name = entry
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and scores[child + 1] < scores[child]:
            child += 1
        if score <= scores[child]:
            break
        scores[at], names[at] = scores[child], names[child]
        at = child
    scores[at], names[at] = score, name


@compiled
def heap(scores: Floats, names: Any, size: int) -> None:
    for at in range(size // 2 - 1, -1, -1):
        sift(scores, names, at, size, (scores[at], names[at]))


@compiled
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


@compiled
def order(scores: Floats, names: Any, size: int) -> None:
    """The same as `sort`, for a few in any order: each is put behind all that are above it."""
    if size > FEW:
        sort(scores, names, size)
        return
    before, named, above = np.empty(FEW), np.empty(FEW, np.int64), np.empty(FEW, np.int64)
    for i in range(size):
        before[i], named[i] = scores[i], names[i]
    for i in range(size):
        score, count = before[i], 0
        for j in range(size):
            count += before[j] > score
        for j in range(i):
            count += before[j] == score
        above[i] = count
    for i in range(size):
        scores[above[i]], names[above[i]] = before[i], named[i]
