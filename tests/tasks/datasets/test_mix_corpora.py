"""The mix is what was asked for, exactly, and the same however training is interrupted."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.batches.batch_sampler import BatchingConfig, draw_rows, plan_batches
from tasks.datasets.mix_corpora import MixConfig, mix_weights

ORIGINS = [(0, False)] * 70 + [(0, True)] * 10 + [(1, True)] * 20 + [None] * 5


def totals(mix):
    weights = mix_weights(ORIGINS, mix)
    assert weights[-5:] == [1.0] * 5
    return weights, Counter(
        {c: sum(w for w, o in zip(weights, ORIGINS, strict=True) if o and o[0] == c) for c in (0, 1)}
    )


def test_without_a_mix_every_row_comes_once():
    assert mix_weights(ORIGINS, MixConfig()) == [1.0] * len(ORIGINS)


def test_weights_and_temperature():
    _, found = totals(MixConfig(weights=(1.0, 4.0)))
    assert found == pytest.approx({0: 50, 1: 50})
    _, found = totals(MixConfig(temperature=2.0))
    assert found == pytest.approx({0: 100 * 2 / 3, 1: 100 / 3})  # roots of 80 and 20 are as 2 to 1
    _, found = totals(MixConfig(temperature=float("inf")))
    assert found == pytest.approx({0: 50, 1: 50})
    with pytest.raises(UserError, match="1 weights, and there are 2 corpora"):
        totals(MixConfig(weights=(1.0,)))
    with pytest.raises(ValueError, match="above 0"):
        MixConfig(weights=(0.0, 1.0))


@pytest.mark.parametrize("replay", [0.0, 0.25, 0.5])
def test_replay(replay):
    weights, _ = totals(MixConfig(replay=replay))
    old = sum(w for w, o in zip(weights, ORIGINS, strict=True) if o and not o[1])
    new = sum(w for w, o in zip(weights, ORIGINS, strict=True) if o and o[1])
    assert new == pytest.approx(30)
    assert old / (old + new) == pytest.approx(replay)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.integers(0, 9), st.integers(1, 12))
def test_rows_come_as_often_as_they_should(weights, seed, epochs):
    weights = np.array(weights)
    counts = np.zeros(len(weights))
    for epoch in range(epochs):
        np.add.at(counts, draw_rows(weights, seed, epoch), 1)
    assert (np.abs(counts - weights * epochs) < 1 + 1e-9).all()


@given(st.integers(0, 5), st.integers(0, 4))
def test_the_plan_has_the_rows_that_are_drawn(seed, epoch):
    random = np.random.default_rng(1)
    frames, weights = random.integers(10, 200, 50), random.uniform(0, 3, 50)
    how = BatchingConfig(frames_per_batch=600, window_shards=2)
    batches = plan_batches(frames, np.arange(50) // 7, how, seed, epoch, weights)
    assert sorted(np.concatenate(batches).tolist()) == draw_rows(weights, seed, epoch).tolist()
    once = plan_batches(frames, np.arange(50) // 7, how, seed, epoch)
    ones = plan_batches(frames, np.arange(50) // 7, how, seed, epoch, np.ones(50))
    assert [b.tolist() for b in once] == [b.tolist() for b in ones]
