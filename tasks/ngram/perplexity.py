"""How well an n-gram model foresees a text, whole sentences with their ends."""

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from models.search.language.ngram_lm import NGram
from models.special_tokens import BOS, EOS, UNK, Tokenizer
from tasks.ngram.text_lines import token_streams

STREAM_TOKENS = 1 << 18  # scored at a time


@dataclass(frozen=True, slots=True)
class Perplexity:
    """tokens: those predicted, </s> of each sentence with them. nats: minus their log-probability. unknown and
    unknown_nats: the share of both that <unk> has.
    """

    sentences: int = 0
    tokens: int = 0
    nats: float = 0.0
    unknown: int = 0
    unknown_nats: float = 0.0

    def __add__(self, other: "Perplexity") -> "Perplexity":
        return Perplexity(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def value(self) -> float:
        """exp(nats a token), <unk> scored as a token; nan for an empty text."""
        return _exp(self.nats, self.tokens)

    @property
    def of_known(self) -> float:
        """The same of the tokens that are not <unk>."""
        return _exp(self.nats - self.unknown_nats, self.tokens - self.unknown)

    @property
    def bits_per_token(self) -> float:
        return self.nats / self.tokens / math.log(2) if self.tokens else math.nan


def _exp(nats: float, tokens: int) -> float:
    return math.exp(min(nats / tokens, 700)) if tokens else math.nan


def perplexity(model: NGram, tokenizer: Tokenizer, sentences: Iterable[str]) -> Perplexity:
    """Of a text, one sentence a string; those without tokens are left out."""
    arrays = map(torch.from_numpy, token_streams(sentences, tokenizer, STREAM_TOKENS))
    return sum((perplexity_from_scores(stream, model.score(stream)) for stream in arrays), Perplexity())


def perplexity_from_scores(stream: Tensor, score: Tensor) -> Perplexity:
    """Of a stream of sentences (T,) and the log-probability of each token (T,)."""
    unknown = stream == UNK
    return Perplexity(
        sentences=int((stream == EOS).sum()),
        tokens=int((stream != BOS).sum()),
        nats=-float(score.sum()),
        unknown=int(unknown.sum()),
        unknown_nats=-float(score[unknown].sum()),
    )
