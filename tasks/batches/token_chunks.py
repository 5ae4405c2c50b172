"""The chunks of a token stream that a language model is trained on and measured by (tasks/batches/tokenize_text.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Batch, Padded


@dataclass(frozen=True, kw_only=True)
class ChunkConfig:
    """length: tokens of a chunk, each of which predicts the one after it. held_out: the dev chunks are drawn anywhere
    (as the lecture has it: their neighbors are in training) or are the end of the text. dev_share: of all chunks.
    seed: of that draw, and of the shifts. reach: how many chunks a gradient goes back over, where streams are carried.
    carried: the text is read in contiguous streams, as many as a batch has rows, and the state goes on from chunk to
    chunk, in training and on dev: truncated back-propagation through time with k1 = length and k2 = reach x length.
    shifted: every epoch cuts the training text at other places, so that a token is predicted from more and from less
    of its past; nothing held out is read, for a chunk is shifted only into one that is of training, too.
    """

    length: int = 60
    held_out: Literal["anywhere", "end"] = "end"
    dev_share: float = 0.1
    seed: int = 0
    carried: bool = False
    reach: int = 1
    shifted: bool = False

    def __post_init__(self) -> None:
        if self.carried and self.held_out != "end":
            raise ValueError("chunks.carried needs neighbors in their order: it goes with chunks.held_out=end")
        if self.reach < 1 or (self.reach > 1 and not self.carried):
            raise ValueError("chunks.reach is at least 1, and more only with chunks.carried=true")
        if self.length < 1 or not 0 < self.dev_share < 1:
            raise ValueError("chunks.length is at least 1 and chunks.dev_share between 0 and 1")


@dataclass(frozen=True)
class ChunkDataset:
    """Chunks of a stream by their numbers, as the training loop reads them. A chunk lies in one shard; the tokens at
    a shard's end that fill no chunk are left out, fewer than `length` of each.
    """

    features: Artifact  # the stream
    rows: np.ndarray  # (rows,) numbers of chunks in the whole stream, ascending
    length: int
    shifts: int | None = None  # the seed of what each epoch shifts them by; None for nothing

    @cached_property
    def starts(self) -> np.ndarray:
        """(shards + 1,) the number of the first chunk of each shard, and of all chunks."""
        files = self.features.manifest()["files"]
        sizes = [files[name]["size"] // self._kind.itemsize for name in self._names]
        return np.cumsum([0, *(max(0, size - 1) // self.length for size in sizes)])

    @cached_property
    def _names(self) -> list[str]:
        return self.features.names(".ids")

    @cached_property
    def _kind(self) -> np.dtype:
        return np.dtype(self.features.read_json("stream.json")["dtype"])

    @cached_property
    def _maps(self) -> dict[int, np.ndarray]:
        return {}

    def _ids(self, shard: int) -> np.ndarray:
        if shard not in self._maps:
            self._maps[shard] = np.memmap(self.features.file(self._names[shard]), self._kind, "r")
        return self._maps[shard]

    def __reduce__(self) -> tuple:
        return ChunkDataset, (self.features, self.rows, self.length, self.shifts)  # a worker opens its own maps

    @cached_property
    def frames(self) -> np.ndarray:
        return np.full(len(self.rows), self.length)

    @property
    def tokens(self) -> np.ndarray:
        return self.frames

    @property
    def weights(self) -> None:
        """Every chunk comes once in an epoch."""
        return None

    @cached_property
    def shard_numbers(self) -> np.ndarray:
        return np.searchsorted(self.starts, self.rows, side="right") - 1

    def keys(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        return tuple(str(self.rows[row]) for row in rows)

    @cached_property
    def _followed(self) -> np.ndarray:
        """(rows,) whether the chunk after it is one of these too, and in the same shard."""
        after = self.rows + 1
        return np.isin(after, self.rows) & (np.searchsorted(self.starts, after, side="right") - 1 == self.shard_numbers)

    def _shift(self, epoch: int | None) -> int:
        """By how many tokens the chunks that can be are shifted."""
        if self.shifts is None or epoch is None:
            return 0
        return int(np.random.default_rng((self.shifts, epoch)).integers(self.length))

    def read(self, row: int, shift: int = 0) -> np.ndarray:
        """(length + 1,) the ids of a chunk and the one after it."""
        shard = int(self.shard_numbers[row])
        start = int(self.rows[row] - self.starts[shard]) * self.length + (shift if shift and self._followed[row] else 0)
        return np.asarray(self._ids(shard)[start : start + self.length + 1], np.int64)

    def first(self, count: int) -> dict[str, np.ndarray]:
        return {f"chunk {self.rows[row]}": self.read(row) for row in range(min(count, len(self.rows)))}

    def fetch(self, rows: np.ndarray) -> None:
        """Bring the shards of these rows into the local cache."""
        for shard in np.unique(self.shard_numbers[rows]):
            self.features.file(self._names[shard])

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int = 1) -> Batch:
        """Each token with the one after it."""
        del reduction  # no time is reduced: there is no least length to keep
        shift = self._shift(epoch)
        ids = torch.from_numpy(np.stack([self.read(row, shift) for row in rows.tolist()]))
        lengths = torch.full((len(rows),), self.length)
        return Batch(self.keys(rows), Padded(ids[:, :-1], lengths), Padded(ids[:, 1:], lengths))


def all_chunks(stream: Artifact, length: int) -> ChunkDataset:
    """All of a stream."""
    count = int(ChunkDataset(stream, np.arange(0), length).starts[-1])
    return ChunkDataset(stream, np.arange(count), length)


def split_chunks(stream: Artifact, chunking: ChunkConfig) -> tuple[ChunkDataset, ChunkDataset]:
    """Training and dev chunks. Raises UserError where the text is too short for both."""
    count = len(all_chunks(stream, chunking.length).rows)
    held = round(count * chunking.dev_share)
    if not 0 < held < count:
        raise UserError(
            f"{stream}: a text of {count} chunks of {chunking.length} tokens cannot be divided into training and dev; "
            "lower chunks.length or give more text"
        )
    random = np.random.default_rng(chunking.seed)
    order = np.arange(count) if chunking.held_out == "end" else random.permutation(count)
    parts = np.sort(order[: count - held]), np.sort(order[count - held :])
    shifts = chunking.seed if chunking.shifted else None
    return ChunkDataset(stream, parts[0], chunking.length, shifts), ChunkDataset(stream, parts[1], chunking.length)


def select_chunks(stream: Artifact, chunking: ChunkConfig, split: str) -> ChunkDataset:
    """Those of "train" or "dev", as `split_chunks`; of "test" all that there are. Raises UserError for a text too
    short.
    """
    if split != "test":
        return split_chunks(stream, chunking)[split == "dev"]
    every = all_chunks(stream, chunking.length)
    if not len(every.rows):
        raise UserError(f"{stream}: the text has no {chunking.length} tokens, one chunk; give more text")
    return every
