"""Chunks of a stream as a language model reads them: each alone, or one after the other with the state carried on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.interface import LanguageModel
from models.search.state_pytree import select_rows
from tasks.batches.batch_loader import prefetch
from tasks.batches.batch_sampler import BatchingConfig, batchify, split_batches
from tasks.batches.token_chunks import ChunkDataset

SHORTEST_STREAM = 32  # chunks that a row reads with its state carried on, where there are so many, and at least
SHORTEST_TOKENS = 1920  # so many tokens


@dataclass(frozen=True)
class StreamChunks:
    """Chunks, and how they are read. carried: as in `Chunking`."""

    chunks: ChunkDataset
    batching: BatchingConfig
    device: torch.device
    carried: bool


def lm_log_probs(
    model: LanguageModel, passage: StreamChunks, rows: np.ndarray, share: tuple[int, int] = (0, 1)
) -> Iterator[tuple[Tensor, Tensor]]:
    """Log-probabilities (B, T, V) and the tokens (B, T) they are of, batch by batch, for consecutive rows.

    share: (r, w), this worker's rank of so many that divide the streams or the batches: together they say what one
    would.
    """
    rank, workers = share
    chunks, batching = passage.chunks, passage.batching
    if passage.carried:
        shortest = max(SHORTEST_STREAM, SHORTEST_TOKENS // chunks.length)
        width = min(batching.rows_of(chunks.length), max(1, len(rows) // shortest))
        batches = batchify(rows, width)
        batches = [mine for batch in batches if len(mine := batch[rank::workers])]  # whole streams
    else:
        batches = split_batches(rows, chunks.frames, batching)[rank::workers]
    state = None
    for prepared in prefetch(chunks, batches, None):
        batch = prepared.to(passage.device)
        if state is not None:  # streams that have ended are the last rows
            state = select_rows(state, torch.arange(len(batch.keys), device=passage.device))
        log_probs, after = model.predict(batch.given, state)
        state = after if passage.carried else None
        yield log_probs.data, batch.target.data
