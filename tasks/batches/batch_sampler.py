"""An epoch is a plan: the exact list of its batches, made from the index alone, without reading data.

Batch k of epoch e is the same for any number of workers and after any interruption, so a job resumes at the batch it
had reached. Shuffled in two levels (the shards; then the utterances of a window of shards, so that reading stays
nearly sequential), batches of similar length, or sorted by length (SortaGrad, Amodei et al. 2015, section 3.3).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class BatchingConfig:
    """frames_per_batch: the padded cost, utterances x longest, of what one worker holds at a time; of sentence pairs in
    tokens of the longer side. utterances_per_batch: at most so many. window_shards: shards whose utterances are
    shuffled together. sorted_epochs: the first so many epochs go from short to long.
    """

    frames_per_batch: int = 20000
    utterances_per_batch: int = 64
    window_shards: int = 16
    sorted_epochs: int = 1

    def __post_init__(self) -> None:
        if min(self.frames_per_batch, self.utterances_per_batch, self.window_shards) < 1:
            raise ValueError("batching: frames_per_batch, utterances_per_batch and window_shards are at least 1")

    def rows_of(self, length: int) -> int:
        """How many rows of one length a batch holds."""
        return max(1, min(self.utterances_per_batch, self.frames_per_batch // length))


def draw_rows(weights: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The rows of an epoch in their order, one that is drawn several times as often. weights: (rows,) how often each
    comes in an epoch on average: after any number of epochs it has come that often, but for less than one.
    """
    phase = np.random.default_rng(seed).random(len(weights))
    times = np.floor(weights * (epoch + 1) + phase) - np.floor(weights * epoch + phase)
    return np.repeat(np.arange(len(weights)), times.astype(np.int64))


def plan_batches(
    frames: np.ndarray,
    shards: np.ndarray,
    batching: BatchingConfig,
    seed: int,
    epoch: int,
    weights: np.ndarray | None = None,
) -> list[np.ndarray]:
    """The batches of an epoch, each the row numbers of its utterances.

    frames: (rows,) the length of each utterance. shards: (rows,) the number of the shard it lies in. weights: (rows,)
    how often each comes, once where None.
    """
    if weights is not None:
        rows = draw_rows(weights, seed, epoch)
        return [rows[batch] for batch in plan_batches(frames[rows], shards[rows], batching, seed, epoch)]
    if epoch < batching.sorted_epochs:
        return bucket_by_length(frames, batching)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(np.unique(shards))
    place = np.argsort(order)[np.searchsorted(np.unique(shards), shards)]  # where each row's shard comes in the epoch
    window = place // batching.window_shards
    batches: list[np.ndarray] = []
    by_window = np.argsort(window, kind="stable")
    for rows in np.split(by_window, np.flatnonzero(np.diff(window[by_window])) + 1):
        # Lengths are blurred a little, so that the same utterances do not meet in every epoch.
        blurred = frames[rows] * random.uniform(0.9, 1.1, len(rows))
        bucketed = split_batches(rows[np.argsort(blurred, kind="stable")], frames, batching)
        batches += [bucketed[i] for i in random.permutation(len(bucketed))]
    return batches


def plan_streams(chunks: int, width: int, group: int, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of an epoch over contiguous streams: `chunks` in a row, read by `width` x `group` rows side by side.

    Of every `group` batches the k-th holds the next chunk of the same rows as the k-th of the `group` before. Where the
    rows begin is drawn anew each epoch, as far as what is left of the division allows; none where rows are too few.
    """
    rows = width * group
    steps, spare = divmod(chunks, rows)
    begin = int(np.random.default_rng([seed, epoch]).integers(spare + 1))
    first = (begin + np.arange(rows) * steps).reshape(group, width)
    return [first[place] + step for step in range(steps) for place in range(group)]


def batchify(rows: np.ndarray, width: int) -> list[np.ndarray]:
    """Consecutive rows as `width` streams, the longer ones first: batch t has the t-th row of each that has one."""
    parts = np.array_split(rows, min(width, max(len(rows), 1)))
    return [np.array([part[t] for part in parts if t < len(part)]) for t in range(len(parts[0]))]


def bucket_by_length(frames: np.ndarray, batching: BatchingConfig) -> list[np.ndarray]:
    """All rows, from the shortest to the longest, in batches."""
    return split_batches(np.argsort(frames, kind="stable"), frames, batching)


def split_batches(rows: np.ndarray, frames: np.ndarray, batching: BatchingConfig) -> list[np.ndarray]:
    """Rows in their order cut into batches of at most the allowed padded cost (one longer utterance is a batch)."""
    batches, start, longest = [], 0, 0
    for i, length in enumerate(frames[rows].tolist()):
        longest, size = max(longest, length), i - start + 1
        if size > 1 and (longest * size > batching.frames_per_batch or size > batching.utterances_per_batch):
            batches.append(rows[start:i])
            start, longest = i, length
    return [*batches, rows[start:]] if len(rows) else []


def largest_batch(batches: list[np.ndarray], frames: np.ndarray) -> np.ndarray:
    """The batch with the greatest padded cost."""
    return max(batches, key=lambda rows: (len(rows) * int(frames[rows].max()), int(frames[rows].max())))
