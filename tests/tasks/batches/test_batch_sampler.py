"""What the plan promises: every utterance once an epoch, within the cost, with any workers and resume points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.batches.batch_sampler import BatchingConfig, largest_batch, plan_batches
from tasks.training.train_loop import WorkerRank, worker_batches

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=200)
batchings = st.builds(
    BatchingConfig,
    frames_per_batch=st.integers(1, 3000),
    utterances_per_batch=st.integers(1, 20),
    window_shards=st.integers(1, 5),
    sorted_epochs=st.integers(0, 2),
)


def corpus(frames):
    frames = np.array(frames)
    return frames, np.arange(len(frames)) * 7 // max(1, len(frames))


@given(lengths, batchings, st.integers(0, 5), st.integers(0, 3))
def test_every_utterance_once_and_within_cost(frames, batching, seed, epoch):
    frames, shards = corpus(frames)
    batches = plan_batches(frames, shards, batching, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(frames)))
    for rows in batches:
        assert len(rows) <= batching.utterances_per_batch
        assert len(rows) == 1 or len(rows) * frames[rows].max() <= batching.frames_per_batch


@given(lengths, batchings, st.integers(1, 5), st.integers(1, 4), st.data())
def test_workers_and_resume_points_do_not_change_what_is_trained(frames, batching, workers, group, data):
    frames, shards = corpus(frames)
    batches = plan_batches(frames, shards, batching, 0, 3)
    group = max(group, workers)
    start = data.draw(st.integers(0, len(batches) // group)) * group
    groups = [batches[i : i + group] for i in range(start, len(batches), group)]
    every = [worker_batches(groups, WorkerRank(rank, workers)) for rank in range(workers)]
    assert len({len(mine) for mine in every}) == 1, "all workers join in the same number of steps"
    trained = []
    for g in groups:
        rounds = -(-len(g) // workers)
        taken = [every[r].pop(0) for _ in range(rounds) for r in range(workers)]
        trained += taken[: len(g)]
    assert [b.tolist() for b in trained] == [b.tolist() for b in batches[start:]]


def test_epochs_differ_and_repeat_exactly():
    frames, shards = corpus(np.random.default_rng(0).integers(10, 400, 500))
    batching = BatchingConfig(frames_per_batch=2000, sorted_epochs=1)
    listed = [[b.tolist() for b in plan_batches(frames, shards, batching, 0, epoch)] for epoch in (1, 2, 1)]
    assert listed[0] == listed[2]
    assert listed[0] != listed[1]
    assert listed[0] != [b.tolist() for b in plan_batches(frames, shards, batching, 1, 1)]


def test_sorted_epoch_goes_from_short_to_long():
    frames, shards = corpus(np.random.default_rng(0).integers(10, 400, 300))
    flat = np.concatenate(plan_batches(frames, shards, BatchingConfig(frames_per_batch=2000, sorted_epochs=1), 0, 0))
    assert (np.diff(frames[flat]) >= 0).all()


def test_shuffling_stays_within_windows_of_shards():
    frames, shards = np.full(400, 100), np.arange(400) // 20  # 20 shards
    order = np.concatenate(
        plan_batches(frames, shards, BatchingConfig(frames_per_batch=800, sorted_epochs=0, window_shards=4), 0, 1)
    )
    for start in range(0, 400, 80):
        assert len(set(shards[order[start : start + 80]])) == 4


def test_padding_is_small_when_lengths_are_bucketed():
    frames, shards = corpus(np.random.default_rng(0).integers(50, 1000, 4000))
    batches = plan_batches(frames, shards, BatchingConfig(frames_per_batch=16000, sorted_epochs=0), 0, 1)
    padded = sum(len(b) * frames[b].max() for b in batches)
    assert frames.sum() / padded > 0.85


def test_largest_is_the_costliest_batch():
    frames = np.array([5, 5, 5, 9])
    assert largest_batch([np.array([0, 1, 2]), np.array([3])], frames).tolist() == [0, 1, 2]
