"""Chunks of a stream as a language model reads them: each alone, or one after the other with the state carried on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.interface import LanguageModel
from models.search.state import select
from tasks.batches import ahead
from tasks.plan import Batching, cut, side_by_side
from tasks.stream import Chunks

SHORTEST_STREAM = 32  # chunks that a row reads with its state carried on, where there are so many


@dataclass(frozen=True)
class Passage:
    """Chunks, and how they are read. carried: as in `Chunking`."""

    chunks: Chunks
    batching: Batching
    device: torch.device
    carried: bool


def predictions(model: LanguageModel, passage: Passage, rows: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities (B, T, V) and the tokens (B, T) they are of, batch by batch, for consecutive rows."""
    chunks, batching = passage.chunks, passage.batching
    if passage.carried:
        width = min(batching.rows_of(chunks.length), max(1, len(rows) // SHORTEST_STREAM))
        batches = side_by_side(rows, width)
    else:
        batches = cut(rows, chunks.frames, batching)
    state = None
    for prepared in ahead(chunks, batches, None):
        batch = prepared.to(passage.device)
        if state is not None:  # streams that have ended are the last rows
            state = select(state, torch.arange(len(batch.keys), device=passage.device))
        log_probs, after = model.predict(batch.given, state)
        state = after if passage.carried else None
        yield log_probs.data, batch.target.data
