"""Texts to their translations: sorted and batched by length, searched together, and given back in their order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from infra.errors import UserError
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Batch, Beam, Hypothesis, Model, Padded
from models.search.length_limit import length_limits
from models.special_tokens import UNK
from tasks.batches.batch_sampler import BatchingConfig, bucket_by_length
from tasks.bundles.model_bundle import Bundle
from tasks.corpora.sentence_pairs import is_unicode
from tasks.text.tokenizer import LabelVocabulary, TextTokenizer

LONGEST_SOURCE = 1024  # tokens
ScoredText = tuple[str, float]


class Translation(NamedTuple):
    """score: of the best hypothesis, as `Beam` defines it. n_best: texts that differ and their scores, best first.
    truncated: the source was longer than what the model is given, or the text as long as the search allows.
    unknown: tokens of the source and of the text that are not in the vocabularies; what they stand for is lost.
    """

    text: str
    score: float
    n_best: tuple[ScoredText, ...]
    truncated: bool
    unknown: int


NOTHING = Translation("", 0.0, (), truncated=False, unknown=0)


@dataclass(frozen=True, kw_only=True)
class TranslationConfig:
    """max_source_tokens: what comes after so many is left out, and the translation marked as truncated."""

    beam: Beam
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    max_source_tokens: int = LONGEST_SOURCE

    def __post_init__(self) -> None:
        if self.max_source_tokens < 1:
            raise ValueError(f"max_source_tokens is 1 or more, not {self.max_source_tokens}")


class PrefixError(UserError):
    """row: of the texts, whose translation is to begin with what the model cannot write. told: why, without the row."""

    def __init__(self, row: int, told: str) -> None:
        super().__init__(f"text {row + 1}: {told}")
        self.row, self.told = row, told


class Translator:
    """A bundle with a search, on whatever device its model is."""

    def __init__(self, bundle: Bundle, config: TranslationConfig | None = None) -> None:
        """config: by default the bundle's beam. Raises UserError for a bundle that holds no translator, and for a beam
        that its search does not take.
        """
        self.bundle, self.config = bundle, config or TranslationConfig(beam=bundle.beam)
        self.spelling = source_tokenizer(bundle)
        self.device = next(bundle.model.parameters()).device
        self.most = most_source_tokens(bundle.model, self.config.max_source_tokens)
        self._search(Padded.stack([torch.tensor([UNK])]))

    def translate(self, texts: Sequence[str], prefixes: Sequence[str] = ()) -> list[Translation]:
        """In their order; a text of which nothing is left once it is normalized is an empty one.

        prefixes: whole words that each translation begins with, "" for none; () for none of all. Where tokens are parts
        of words, the model may go on with the last one. Raises PrefixError for one that the model cannot write, and
        UserError for what is no text.
        """
        check_texts(texts, "text")
        check_texts(prefixes, "prefix")
        given = [np.array(self.spelling.encode(text), np.int64) for text in texts]
        if prefixes and len(prefixes) != len(given):
            raise UserError(f"{len(given)} texts and {len(prefixes)} prefixes: each text has one, or an empty one")
        begun = [self._prefix(row, prefix) for row, prefix in enumerate(prefixes)]
        rows = np.flatnonzero([len(ids) for ids in given])
        lengths, found = np.array([min(len(given[row]), self.most) for row in rows], int), [NOTHING] * len(given)
        if begun:
            self._check_room(lengths, [(row, prefixes[row], len(begun[row])) for row in rows.tolist()])
        for places in bucket_by_length(lengths, self.config.batching):
            batch = rows[places].tolist()
            source = Padded.stack([torch.from_numpy(given[row][: self.most]) for row in batch])
            nbests = self._search(source, Padded.stack([begun[row] for row in batch]) if begun else None)
            for row, nbest in zip(batch, nbests, strict=True):
                found[row] = self._translation(given[row], nbest)
        return found

    def _prefix(self, row: int, text: str) -> torch.Tensor:
        ids = torch.tensor(self.bundle.tokenizer.encode(text), dtype=torch.long)
        if bool((ids == UNK).any()):
            told = f"the prefix {text[:60]!r} holds what the model has no token for, and so cannot write"
            raise PrefixError(row, told)
        return ids

    def _check_room(self, lengths: np.ndarray, prefixes: Sequence[tuple[int, str, int]]) -> None:
        """prefixes: row, text and tokens of each. Raises PrefixError for one of as many tokens as a search writes
        at most for a source of such a length.
        """
        model, beam, sources = self.bundle.model, self.config.beam, torch.from_numpy(lengths)
        assert isinstance(model, SequenceToSequence), "what has a source tokenizer and says texts translates"
        most = model.limits(Padded(sources[:, None], sources))
        for (row, text, count), own, limit in zip(
            prefixes, most.tolist(), length_limits(beam, most, most), strict=True
        ):
            if count >= limit:
                told = f"{count} tokens, and a translation of its source {limit} at most"
                instead = "raise beam.max_length" if limit < own else "give a shorter one"
                raise PrefixError(row, f"the prefix {text[:60]!r} has {told}: {instead}")

    @torch.inference_mode()
    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """log p of each target, given its source, in nats; what is not in a vocabulary counts as unknown. Raises
        UserError for a text that is longer than the model reads or writes, and for sides of different length.
        """
        if len(sources) != len(targets):
            raise UserError(f"{len(sources)} sources and {len(targets)} targets: each source has one target")
        check_texts(sources, "source")
        check_texts(targets, "target")
        model = self.bundle.model
        assert isinstance(model, SequenceToSequence), "what has a source tokenizer and says texts translates"
        pairs = [
            (self.spelling.encode(a), self.bundle.tokenizer.encode(b)) for a, b in zip(sources, targets, strict=True)
        ]
        lengths, scores = np.array([max(map(len, pair)) + 1 for pair in pairs], int), [0.0] * len(pairs)
        for row, length in enumerate(lengths.tolist()):
            if length - 1 > self.most:
                raise UserError(f"pair {row + 1}: {length - 1} tokens on a side, and the model takes {self.most}")
        for rows in bucket_by_length(lengths, self.config.batching):
            source, target = (
                Padded.stack([torch.tensor(pairs[row][side], dtype=torch.long) for row in rows]) for side in (0, 1)
            )
            batch = Batch(("",) * len(rows), source, target).to(self.device)
            for row, score in zip(rows.tolist(), model.score(batch).tolist(), strict=True):
                scores[row] = score
        return scores

    @torch.inference_mode()
    def _search(self, source: Padded, prefixes: Padded | None = None) -> list[list[Hypothesis]]:
        model, how = self.bundle.model, (self.config.beam, self.bundle.lm)
        assert isinstance(model, SequenceToSequence), "what has a source tokenizer and says texts translates"
        try:
            if prefixes is None or not prefixes.lengths.any():
                return model.search(source.to(self.device), *how)
            return model.complete(source.to(self.device), prefixes.to(self.device), *how)
        except ValueError as error:  # a term that the search does not have
            raise UserError(str(error)) from error

    def _translation(self, source: np.ndarray, nbest: Sequence[Hypothesis]) -> Translation:
        best, texts = nbest[0], distinct_texts(nbest, self.bundle.tokenizer)
        unknown = int((source == UNK).sum()) + best.tokens.count(UNK)
        return Translation(*texts[0], texts, best.truncated or len(source) > self.most, unknown)


def check_texts(texts: Sequence[Any], what: str) -> None:
    """Raises UserError for the first that is no str, or one that no UTF-8 can say."""
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise UserError(f"{what} {number}: give it as str, not {type(text).__name__}")
        if not is_unicode(text):
            raise UserError(f"{what} {number}: half of a character stands alone ({text[:40]!a}); decode it as UTF-8")


def source_tokenizer(bundle: Bundle) -> TextTokenizer:
    """Of the texts that a translator reads. Raises UserError for another bundle."""
    if bundle.spelling is None or isinstance(bundle.tokenizer, LabelVocabulary):
        raise UserError("this bundle holds no translator; give a model that train_translation made")
    return bundle.spelling


def most_source_tokens(model: Model, wanted: int) -> int:
    """As many as are wanted, or, where a model has an embedding for each position, as there are, but for EOS."""
    longest = getattr(model, "longest", None)
    return wanted if longest is None else min(wanted, longest - 1)


def cut_source(source: Padded, most: int) -> Padded:
    """So many tokens of each at most."""
    return Padded(source.data[:, :most], source.lengths.clamp(max=most))


def distinct_texts(nbest: Sequence[Hypothesis], tokenizer: TextTokenizer) -> tuple[ScoredText, ...]:
    """Each with the best score of the token sequences that are written alike, best first."""
    texts: dict[str, float] = {}
    for hypothesis in nbest:
        texts.setdefault(" ".join(tokenizer.decode(hypothesis.tokens).split()), hypothesis.score)
    return tuple(texts.items())
