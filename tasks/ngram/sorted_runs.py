"""Counts of n-grams as rows of 64-bit words, sorted, merged and summed in runs that never lie in memory as a whole.

A row is a packed n-gram of `words` words and then its counts. Packed n-grams compare as the n-grams do, token by
token, so a run is a file of rows in that order. `merge_runs` reads a block of every run, takes from all of them what
does not go beyond the smallest of the last rows, and goes on: the memory is that of the blocks, however long the runs
are.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra import storage

WORD = np.dtype("<u8")
Rows = np.ndarray  # (n, words + counts) of WORD
Key = tuple[int, ...]  # the packed n-gram of one row


@dataclass(frozen=True)
class Packing:
    """How n-grams of `width` tokens below `size` lie in words, the first token in the highest bits."""

    size: int
    width: int

    @property
    def bits(self) -> int:
        return max(1, (self.size - 1).bit_length())

    @property
    def per_word(self) -> int:
        return 64 // self.bits

    @property
    def words(self) -> int:
        return -(-self.width // self.per_word)

    def pack(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """(n, words) from `width` columns of tokens (n,)."""
        packed = np.zeros((len(columns[0]), self.words), WORD)
        for i, column in enumerate(columns):
            word = packed[:, i // self.per_word]
            np.left_shift(word, np.uint64(self.bits), out=word)
            np.bitwise_or(word, column.astype(WORD), out=word)
        return packed

    def unpack(self, rows: Rows) -> list[np.ndarray]:
        """The `width` columns of tokens (n,) int64."""
        mask = np.uint64((1 << self.bits) - 1)
        columns = []
        for i in range(self.width):
            word, place = divmod(i, self.per_word)
            after = min(self.per_word, self.width - word * self.per_word) - 1 - place
            columns.append(((rows[:, word] >> np.uint64(after * self.bits)) & mask).astype(np.int64))
        return columns


def unpack_rows(packed: np.ndarray, *counts: np.ndarray) -> Rows:
    return np.concatenate([packed, *(c.astype(WORD)[:, None] for c in counts)], axis=1)


def starts_of_groups(columns: Sequence[np.ndarray]) -> np.ndarray:
    """The places at which any of the columns (n,) differs from the row before; the first is 0."""
    new = np.ones(len(columns[0]), bool)
    new[1:] = np.any([c[1:] != c[:-1] for c in columns], axis=0)
    return np.flatnonzero(new)


def sum_counts(rows: Rows, words: int) -> Rows:
    """The rows in order, those of one n-gram as one row with the sums of their counts."""
    keys = [np.ascontiguousarray(rows[:, i]) for i in range(words)]
    order = np.argsort(keys[0]) if words == 1 else np.lexsort(keys[::-1])
    rows = rows[order]
    starts = starts_of_groups([rows[:, i] for i in range(words)]) if len(rows) else np.zeros(0, np.int64)
    if len(starts) == len(rows):
        return rows
    return np.concatenate([rows[starts, :words], np.add.reduceat(rows[:, words:], starts)], axis=1)


def row_key(row: np.ndarray, words: int) -> Key:
    return tuple(row[:words].tolist())


def find_key(rows: Rows, key: Key, side: Callable[..., int] = bisect_left) -> int:
    """How many rows come before `key`; with bisect_right also those equal to it."""
    return side(range(len(rows)), key, key=lambda i: row_key(rows[i], len(key)))


@dataclass(frozen=True, slots=True)
class Run:
    """Rows `first` to `last` (exclusive) of a file of sorted rows, each of `columns` words."""

    uri: str
    columns: int
    first: int
    last: int

    def read(self, first: int, last: int) -> Rows:
        """Rows counted from the run's own first; fewer at its end."""
        start, stop = self.first + first, min(self.first + last, self.last)
        size = self.columns * WORD.itemsize
        data = storage.read(self.uri, start * size, max(0, stop - start) * size)
        return np.frombuffer(data, WORD).reshape(-1, self.columns)

    def __len__(self) -> int:
        return self.last - self.first


def merge_runs(runs: Sequence[Run], words: int, held: int) -> Iterator[Rows]:
    """All rows in order, equal n-grams summed; about `held` rows are in memory. A block may be of any size."""
    share = max(1, held // max(1, len(runs)))
    blocks = [run.read(0, share) for run in runs]
    ends = [len(block) for block in blocks]  # how far each run has been read
    while any(map(len, blocks)):
        more = [i for i, run in enumerate(runs) if ends[i] < len(run)]
        bound = min((row_key(blocks[i][-1], words) for i in more), default=None)
        parts = []
        for i, block in enumerate(blocks):
            cut = len(block) if bound is None else find_key(block, bound, bisect_right)
            parts.append(block[:cut])
            blocks[i] = block[cut:]
            if not len(blocks[i]) and ends[i] < len(runs[i]):
                blocks[i] = runs[i].read(ends[i], ends[i] + share)
                ends[i] += len(blocks[i])
        yield sum_counts(np.concatenate(parts), words)


def regroup_blocks(blocks: Iterable[Rows], least: int) -> Iterator[Rows]:
    """The same rows in blocks of at least so many, but for the last."""
    waiting, size = list[Rows](), 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        if size >= least:
            yield np.concatenate(waiting)
            waiting, size = [], 0
    if size:
        yield np.concatenate(waiting)


def write_run(path: Path, blocks: Iterable[Rows]) -> int:
    """The blocks one after the other in a file; the number of rows."""
    count = 0
    with path.open("wb") as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block).tobytes())
            count += len(block)
    return count
