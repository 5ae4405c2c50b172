"""Sentences to translations: batched by length, searched together, and back in their order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from infra.errors import UserError
from models.interface import Beam, Padded
from models.special_tokens import UNK
from tasks.batches.batch_sampler import BatchingConfig, bucket_by_length
from tasks.bundles.model_bundle import Bundle


class Translation(NamedTuple):
    """n_best: texts with their scores, the best first. unknown: source tokens that the vocabulary lacks."""

    text: str
    score: float
    n_best: tuple[tuple[str, float], ...]
    truncated: bool
    unknown: int


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """max_source_tokens: of a sentence that is read."""

    beam: Beam
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    max_source_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.max_source_tokens < 1:
            raise ValueError("max_source_tokens is at least 1")


class Translator:
    """A translation model ready to use."""

    def __init__(self, bundle: Bundle, config: TranslationConfig) -> None:
        self.bundle, self.config = bundle, config
        self.spelling = bundle.spelling or bundle.tokenizer
        self.device = next(bundle.model.parameters()).device

    @torch.no_grad()
    def translate(self, texts: Sequence[str]) -> list[Translation]:
        """One of each, in their order. Raises UserError for one of more than `max_source_tokens`."""
        ids = [self.spelling.encode(text) for text in texts]
        for text, tokens in zip(texts, ids, strict=True):
            if len(tokens) > self.config.max_source_tokens:
                raise UserError(f"{text[:40]}...: {len(tokens)} tokens, more than {self.config.max_source_tokens}")
        found: list[Translation | None] = [None] * len(texts)
        for rows in bucket_by_length(np.array([len(tokens) + 1 for tokens in ids], int), self.config.batching):
            source = Padded.stack([torch.tensor(ids[row], dtype=torch.long) for row in rows]).to(self.device)
            for row, hypotheses in zip(
                rows.tolist(), self.bundle.model.search(source, self.config.beam, self.bundle.lm), strict=True
            ):
                n_best = tuple((self.bundle.tokenizer.decode(h.tokens), h.score) for h in hypotheses)
                best = hypotheses[0]
                found[row] = Translation(n_best[0][0], best.score, n_best, best.truncated, ids[row].count(UNK))
        return [translation for translation in found if translation is not None]
