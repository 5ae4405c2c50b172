"""Sentence pairs as the training loop reads them: both sides' tokens, perhaps cut anew in each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import torch

from infra.artifact_store import Artifact
from models.interface import Batch, Padded
from tasks.batches.batch_loader import UtteranceDataset
from tasks.features.front_end import CMVN


@dataclass(frozen=True)
class PairDataset:
    """Rows of a feature index of sentence pairs, a `Dataset`. frames: what a pair costs, the tokens of its longer side
    with the end of the sentence.
    """

    features: Artifact
    index: pa.Table

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

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int = 1) -> Batch:  # noqa: ARG002
        pairs = [self.stored.read(row) for row in rows.tolist()]
        source, target = (
            Padded.stack([torch.from_numpy(pair[side].astype(np.int64)) for pair in pairs]) for side in (0, 1)
        )
        return Batch(self.keys(rows), source, target)
