"""All pairs of hashes within a Hamming distance, exact, without comparing every pair.

Multi-index hashing (Norouzi, Punjani and Fleet 2012, https://arxiv.org/abs/1307.2982): of 16 bands of 16 bits, two
hashes that differ in at most 31 bits have one in which they differ in at most one bit. So for each band the 17 values
next to a query's are looked up, and only what is found there is compared in full.
"""

from collections.abc import Iterator

import numpy as np

BAND_BITS = 16
MOST_PAIRS = 1 << 22  # compared at a time: 256 MB


def find_near(queries: np.ndarray, known: np.ndarray, distance: int) -> np.ndarray:
    """(pairs, 3) int64: row in queries, row in known, and bits that differ, at most `distance`; sorted.

    queries, known: (rows, words) uint64. Raises ValueError for a distance beyond what the bands find.
    """
    bands = 4 * queries.shape[1]
    if not 0 <= distance < 2 * bands:
        raise ValueError(f"a distance from 0 to {2 * bands - 1} bits, not {distance}")
    found = [np.empty((0, 3), np.int64)]
    if len(queries) and len(known):
        keys, entries = _bands(queries), _bands(known)
        for band in range(bands):
            for pairs in _same_band(keys[:, band], entries[:, band]):
                found.append(_compared(queries, known, pairs, distance))
    return np.unique(np.concatenate(found), axis=0)


def _bands(hashes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(hashes).view(np.uint16)


def _same_band(keys: np.ndarray, entries: np.ndarray) -> Iterator[np.ndarray]:
    """(2, some) rows of queries and of known whose values in this band differ in at most one bit."""
    order = np.argsort(entries, kind="stable")
    starts = np.searchsorted(entries[order], np.arange((1 << BAND_BITS) + 1))
    for flipped in (0, *(1 << bit for bit in range(BAND_BITS))):
        probe = keys.astype(np.int64) ^ flipped
        begin, count = starts[probe], starts[probe + 1] - starts[probe]
        ends = np.cumsum(count)
        first = 0
        while first < len(keys):
            before = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + MOST_PAIRS, "right")))
            some = count[first:last]
            query = np.repeat(np.arange(first, last), some)
            within = np.arange(len(query)) - np.repeat(ends[first:last] - some - before, some)
            yield np.stack([query, order[np.repeat(begin[first:last], some) + within]])
            first = last


def _compared(queries: np.ndarray, known: np.ndarray, pairs: np.ndarray, distance: int) -> np.ndarray:
    bits = np.bitwise_count(queries[pairs[0]] ^ known[pairs[1]]).sum(1, dtype=np.int64)
    near = bits <= distance
    return np.stack([pairs[0][near], pairs[1][near], bits[near]], axis=1)
