"""Packed n-grams compare as n-grams do, and a merge of runs is the sum of their counts, whatever lies in memory."""

from bisect import bisect_right
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.ngram.sorted_runs import (
    Packing,
    Run,
    find_key,
    merge_runs,
    regroup_blocks,
    sum_counts,
    unpack_rows,
    write_run,
)

SIZES = st.sampled_from([2, 5, 256, 257, 50_000, 2**31])


@given(st.data(), SIZES, st.integers(1, 16))
def test_packing_keeps_tokens_and_their_order(data, size, width):
    grams = data.draw(st.lists(st.tuples(*[st.integers(0, size - 1)] * width), min_size=1, max_size=20))
    packing = Packing(size, width)
    packed = packing.pack([np.array(column, np.int64) for column in zip(*grams, strict=True)])
    assert packed.shape == (len(grams), packing.words)
    assert [tuple(gram) for gram in np.stack(packing.unpack(packed), 1).tolist()] == grams
    keys = [tuple(row) for row in packed.tolist()]
    assert sorted(range(len(grams)), key=lambda i: keys[i]) == sorted(range(len(grams)), key=lambda i: grams[i])


@pytest.mark.parametrize("words", [1, 3])
@given(data=st.data())
def test_a_merge_is_the_sum_of_its_runs(words, data):
    key = st.tuples(*[st.integers(0, 3)] * words)
    texts = data.draw(st.lists(st.lists(key, max_size=30), max_size=5))
    held = data.draw(st.integers(1, 20))
    with TemporaryDirectory() as folder:
        runs = []
        for number, grams in enumerate(texts):
            packed = np.array(grams, "<u8").reshape(-1, words)
            path = Path(folder, str(number))
            rows = sum_counts(unpack_rows(packed, np.ones(len(grams)), np.full(len(grams), 10)), words)
            runs.append(Run(str(path), words + 2, 0, write_run(path, [rows])))
        blocks = list(merge_runs(runs, words, held))
    assert all(len(block) <= max(held, len(runs)) for block in blocks)
    found = [tuple(row) for block in blocks for row in block.tolist()]
    truth = Counter(gram for grams in texts for gram in grams)
    assert found == [(*gram, truth[gram], 10 * truth[gram]) for gram in sorted(truth)]


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(0, 10))
def test_places_are_those_of_a_sorted_list(values, key):
    rows = np.array(sorted(values), "<u8")[:, None]
    assert find_key(rows, (key,)) == sum(v < key for v in values)
    assert find_key(rows, (key,), bisect_right) == sum(v <= key for v in values)


@given(st.lists(st.integers(0, 7), max_size=10), st.integers(1, 9))
def test_regrouped_rows_are_the_same_rows(lengths, least):
    blocks = [np.arange(n, dtype="<u8")[:, None] + 100 * i for i, n in enumerate(lengths)]
    groups = list(regroup_blocks(blocks, least))
    assert all(len(group) >= least for group in groups[:-1])
    assert [v for g in groups for v in g[:, 0].tolist()] == [v for b in blocks for v in b[:, 0].tolist()]
