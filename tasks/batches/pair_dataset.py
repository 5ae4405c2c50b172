"""Sentence pairs as the training loop reads them: both sides' tokens, perhaps cut anew in each epoch."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
import pyarrow as pa
import torch

from infra.artifact_store import Artifact
from models.interface import Batch, Padded
from models.special_tokens import UNK
from tasks.batches.batch_loader import UtteranceDataset
from tasks.features.front_end import CMVN
from tasks.text.tokenizer import SentencePieceTokenizer

SHARDS_HELD = 64  # of at most some thousand pairs each; an epoch takes 16 at a time

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class BPEDropout:
    """Both sides cut anew with some merges left out, and how many; what would be longer than `most` tokens, and what
    has unknown ones, stays as it is. seed: of the fit.
    """

    source: SentencePieceTokenizer
    target: SentencePieceTokenizer
    probability: float
    most: int
    seed: int

    def __call__(self, pairs: Sequence[Pair], drawn_for: tuple[int | str, ...]) -> list[Pair]:
        """drawn_for: epoch and keys: the same pairs in the same epoch are cut alike."""
        sides = [self._cut(side, [pair[side] for pair in pairs], drawn_for) for side in (0, 1)]
        return list(zip(*sides, strict=True))

    def _cut(self, side: int, stored: list[np.ndarray], drawn_for: tuple[int | str, ...]) -> list[np.ndarray]:
        tokenizer = (self.source, self.target)[side]
        digest = hashlib.blake2b(repr((self.seed, side, *drawn_for)).encode(), digest_size=4).digest()
        texts = [tokenizer.decode(ids.tolist()) for ids in stored]
        sampler, random = tokenizer.sampler, Random(int.from_bytes(digest, "big"))
        cut = [sampler.cut(text, self.probability, random) for text in texts]
        return [
            ids if UNK in ids or UNK in new or not 0 < len(new) <= self.most else np.asarray(new, np.int32)
            for ids, new in zip(stored, cut, strict=True)
        ]


@dataclass(frozen=True)
class PairDataset:
    """Rows of a feature index of sentence pairs, a `Dataset`. frames: what a pair costs, the tokens of its longer side
    with the end of the sentence.
    """

    features: Artifact
    index: pa.Table
    dropout: BPEDropout | None = None

    @cached_property
    def stored(self) -> UtteranceDataset:
        return UtteranceDataset(self.features, self.index, CMVN("none"))

    @cached_property
    def frames(self) -> np.ndarray:
        return np.maximum(self.index["frames"].to_numpy(), self.index["tokens"].to_numpy()) + 1

    @cached_property
    def tokens(self) -> np.ndarray:
        """With the end of the sentence, which is predicted too."""
        return self.index["tokens"].to_numpy() + 1

    @cached_property
    def shard_numbers(self) -> np.ndarray:
        return self.stored.shard_numbers

    @cached_property
    def weights(self) -> np.ndarray | None:
        return self.stored.weights

    def keys(self, rows: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        return self.stored.keys(rows)

    def first(self, count: int) -> dict[str, np.ndarray]:
        return self.stored.first(count)

    def fetch(self, rows: np.ndarray) -> None:
        self.stored.fetch(rows)

    @cached_property
    def _held(self) -> OrderedDict[int, dict[int, Pair]]:
        return OrderedDict()

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        """The rows of each shard."""
        order = np.argsort(self.shard_numbers, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.shard_numbers[order])) + 1)

    def read(self, row: int) -> Pair:
        """The token ids of both sides; all of a shard are read at once, and those of the last few shards are held."""
        shard = int(self.shard_numbers[row])
        if shard not in self._held:
            self._held[shard] = {other: self.stored.read(other) for other in self._rows[shard].tolist()}
            if len(self._held) > SHARDS_HELD:
                self._held.popitem(last=False)
        return self._held[shard][row]

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int = 1) -> Batch:  # noqa: ARG002  (a `Dataset`'s)
        pairs = [self.read(row) for row in rows.tolist()]
        if self.dropout and epoch is not None:
            pairs = self.dropout(pairs, (epoch, *self.keys(rows)))
        source, target = (
            Padded.stack([torch.from_numpy(pair[side].astype(np.int64)) for pair in pairs]) for side in (0, 1)
        )
        return Batch(self.keys(rows), source, target)
