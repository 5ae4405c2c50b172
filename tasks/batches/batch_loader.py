"""Feature shards to batches, in the order of a plan, read by a thread ahead of the training step."""

import contextlib
import io
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch

from infra import storage
from infra.artifact_store import Artifact
from models.interface import Batch, Padded
from models.special_tokens import UNK
from tasks.features.augment import MOST_CONCATENATED, AugmentConfig, generator, mask, reshape
from tasks.features.front_end import CMVN
from tasks.features.silence import concatenate_utterances
from tasks.ingest import tar
from tasks.ingest.shard_index import shard_file
from tasks.text.tokenizer import TextTokenizer

AHEAD = 4  # batches that wait ready
WINDOW = 32  # batches ahead of those, whose shards are fetched from S3 into the bounded cache meanwhile


class Dataset(Protocol):
    """What the plan, the training loop and `prefetch` ask of data; its rows are numbered from 0.

    frames: (rows,) the length of each row, its cost in a batch. tokens: (rows,) the targets of each. shard_numbers:
    (rows,) the shard that each lies in. All are arrays, which the type checker cannot see through a cached property.
    """

    @property
    def features(self) -> Artifact: ...
    @property
    def frames(self) -> Any: ...
    @property
    def tokens(self) -> Any: ...
    @property
    def shard_numbers(self) -> Any: ...
    @property
    def weights(self) -> Any:
        """(rows,) how often each comes in an epoch, None where each comes once."""
        ...

    def keys(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]: ...
    def first(self, count: int) -> dict[str, np.ndarray]:
        """The stored sources of so many rows, by what a bundle calls them."""
        ...

    def fetch(self, rows: np.ndarray) -> None:
        """Bring the shards of these rows into the local cache."""
        ...

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int) -> Batch:
        """Rows as one batch; augmented when an epoch is given, keeping steps enough for CTC at this reduction."""
        ...


@dataclass(frozen=True)
class UtteranceDataset:
    """Rows of a feature index, with what reads and prepares them. Row numbers are those of `index`. tokenizer: spells
    the transcripts of utterances that are augmented to one, None where none are.
    """

    features: Artifact
    index: pa.Table
    normalizer: CMVN
    augment: AugmentConfig = AugmentConfig()
    seed: int = 0
    tokenizer: TextTokenizer | None = None

    @cached_property
    def frames(self) -> np.ndarray:
        return self.index["frames"].to_numpy()

    @cached_property
    def tokens(self) -> np.ndarray:
        return self.index["tokens"].to_numpy()

    @cached_property
    def shard_numbers(self) -> np.ndarray:
        return np.unique(np.asarray(self.index["shard"].to_pylist(), dtype=str), return_inverse=True)[1]

    @cached_property
    def weights(self) -> np.ndarray | None:
        """(rows,) of the mix that the features were put together for, None where there is none."""
        return self.index["weight"].to_numpy() if "weight" in self.index.column_names else None

    @cached_property
    def _columns(self) -> dict[str, list]:
        names = ("key", "shard", "offset", "size", "steps_needed", "text", "token_ids")
        return {name: self.index[name].to_pylist() for name in names if name in self.index.column_names}

    def keys(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        return tuple(self._columns["key"][i] for i in rows)

    def read(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The stored frames (T, D) float16, or source tokens (T,) int32, and token ids (U,) of one row."""
        (_, frames), *tokens = tar.members(io.BytesIO(self.region(row)))
        found = np.load(io.BytesIO(frames), allow_pickle=False)
        if "token_ids" in self._columns:  # the index knows better: a transcript may have been mended since
            return found, np.asarray(self._columns["token_ids"][row], np.int32)
        return found, np.load(io.BytesIO(tokens[0][1]), allow_pickle=False)

    def region(self, row: int) -> bytes:
        """The sample of a row in its shard."""
        shard, size, offset = (self._columns[name][row] for name in ("shard", "size", "offset"))
        with self._open(shard) as opened:
            return os.pread(opened.fileno(), size, offset)

    def first(self, count: int) -> dict[str, np.ndarray]:
        return {self.keys([row])[0]: self.read(row)[0] for row in range(min(count, len(self.index)))}

    def _open(self, shard: str) -> FileIO:
        for _ in range(3):
            with contextlib.suppress(FileNotFoundError):  # left the bounded cache between being fetched and opened
                return FileIO(shard_file(self.features, shard))
        return FileIO(shard_file(self.features, shard))

    def fetch(self, rows: np.ndarray) -> None:
        """Bring the shards of these rows into the local cache."""
        for shard in sorted({self._columns["shard"][row] for row in rows.tolist()}):
            shard_file(self.features, shard)

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int = 1) -> Batch:
        """Rows as one batch; augmented when an epoch is given, keeping steps enough for CTC at this reduction."""
        frames, targets = [], []
        for row in rows.tolist():
            prepared, ids = self._prepared(row, epoch, reduction)
            frames.append(torch.from_numpy(prepared))
            targets.append(torch.from_numpy(ids.astype(np.int64)))
        return Batch(self.keys(rows), Padded.stack(frames), Padded.stack(targets))

    def _prepared(self, row: int, epoch: int | None, reduction: int) -> tuple[np.ndarray, np.ndarray]:
        """The source of a row and its token ids."""
        raw, ids = self.read(row)
        if raw.dtype == np.int32:  # tokens are neither normalized nor augmented
            return raw.astype(np.int64), ids
        if epoch is None or epoch < self.augment.from_epoch or self.augment.nothing:
            return self.normalizer(raw), ids
        random = generator(self.seed, epoch, self._columns["key"][row])
        steps, raw = self._columns["steps_needed"][row], raw.astype(np.float32)
        if self.augment.concatenate or self.augment.silence_frames:
            others = self._others(random)
            heard = [(raw, ids), *(self.read(other) for other in others)]
            frames = [one.astype(np.float32) for one, _ in heard]
            raw = concatenate_utterances(frames, self.augment.silence_frames, random)
            if others and self.tokenizer is not None:
                texts = [self._columns["text"][one] for one in (row, *others)]
                ids = np.asarray(self.tokenizer.encode(" ".join(filter(None, texts))), np.int32)
                if UNK in ids:  # no space in the alphabet
                    ids = np.concatenate([one for _, one in heard])
                steps = sum(self._columns["steps_needed"][one] + 2 for one in (row, *others))  # a space, and a blank
        shaped = reshape(raw, self.augment, random, min(len(raw), steps * reduction))
        return mask(self.normalizer(shaped), self.augment, random), ids

    def _others(self, random: np.random.Generator) -> list[int]:
        """The rows that follow one, as it is augmented."""
        found = list[int]()
        while self.tokenizer and len(found) < MOST_CONCATENATED - 1 and random.random() < self.augment.concatenate:
            found.append(int(random.integers(0, len(self.index))))
        return found


def prefetch(
    examples: Dataset, batches: Sequence[np.ndarray], epoch: int | None, reduction: int = 1
) -> Iterator[Batch]:
    """The batches one after the other, a few of them prepared by a thread while the caller works."""
    reading = _Reading(examples, batches)
    threads = [threading.Thread(target=reading.prepare, args=(epoch, reduction), daemon=True)]
    if storage.is_s3(examples.features.uri):
        threads.append(threading.Thread(target=reading.fetch, daemon=True))
    for thread in threads:
        thread.start()
    try:
        while (item := reading.ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        reading.stop()
        for thread in threads:
            thread.join()


class _Reading:
    """What the threads of `prefetch` share: the batches that are ready, and how far the next may be fetched."""

    def __init__(self, examples: Dataset, batches: Sequence[np.ndarray]) -> None:
        self.examples, self.batches = examples, batches
        self.ready: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
        self.stopped, self.distance = threading.Event(), threading.Semaphore(WINDOW)

    def prepare(self, epoch: int | None, reduction: int) -> None:
        try:
            for rows in self.batches:
                if self.stopped.is_set():
                    return
                self._offer(self.examples.batch(rows, epoch, reduction))
                self.distance.release()
            self._offer(None)
        except BaseException as error:  # handed to the caller, who raises it
            self._offer(error)

    def fetch(self) -> None:
        try:
            for rows in self.batches:
                self.distance.acquire()
                if self.stopped.is_set():
                    return
                self.examples.fetch(rows)
        except Exception as error:  # handed to the caller, as above
            self._offer(error)

    def stop(self) -> None:
        self.stopped.set()
        self.distance.release()

    def _offer(self, item: Batch | BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                self.ready.put(item, timeout=0.2)
            except queue.Full:  # look again whether the caller still wants it
                continue
            return
