"""Which sentence pairs are not trained on: too long, of unequal length, in another language, there before, or in a held
out split. Pairs that are only measured on stay, whatever they are: else the numbers would be of another test.

Lengths are compared in characters, where an ideograph, a syllable of Hangul or a wide form counts as three: what is 20
characters in Chinese is 60 in English. Eight are added on both sides, so that short sentences may differ more. A
language is another one where the identifier (Lui & Baldwin 2012, https://aclanthology.org/P12-3005) is sure of it;
of a language that it does not know nothing is said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import NOT_CHARGED, Reject, Utterance
from tasks.ingest.split_corpus import sentence_hash

PAIRS = "pairs"  # the verb of readers of sentence pairs
WIDE = re.compile("[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\U00020000-\U0003fffd]")
WIDE_CHARACTERS, SLACK = 3, 8
SURE = 0.9  # probability of another language: of 18,000 captions in their own none reaches 0.7
DUPLICATE = "duplicate pair"

Row = Utterance | Reject


@dataclass(frozen=True)
class PairFilter:
    """Of pairs one by one; the limits are those of `IngestConfig`."""

    source_language: str
    target_language: str
    max_characters: int
    max_words: int
    max_length_ratio: float
    identify_language: bool

    def reason(self, source: str, target: str) -> tuple[str, str] | None:
        """Why a pair is not trained on: reason and detail."""
        if long := self.too_long(source) or self.too_long(target):
            return "too long", long
        lengths = [spoken_length(side) + SLACK for side in (source, target)]
        ratio = max(lengths) / min(lengths)
        if self.max_length_ratio and ratio > self.max_length_ratio:
            told = f"one side is {ratio:.1f} times as long, ingest.max_length_ratio is {self.max_length_ratio:g}"
            return "length ratio", told
        if self.identify_language:
            for side, language in ((source, self.source_language), (target, self.target_language)):
                if other := other_language(side, language):
                    return "wrong language", f"{other}, not {language}: {side[:100]}"
        return None

    def too_long(self, side: str) -> str:
        """In words, "" where it is not."""
        words = side.count(" ") + 1
        if words > self.max_words:
            return f"{words:,} words, ingest.max_words is {self.max_words}"
        if len(side) > self.max_characters:
            return f"{len(side):,} characters, ingest.max_characters is {self.max_characters}"
        return ""


def pair_filter(options: IngestConfig) -> dict[str, Any]:
    """What makes a `PairFilter` of these options, as a job can hold it."""
    return {name: getattr(options, name) for name in PairFilter.__dataclass_fields__}


def spoken_length(text: str) -> int:
    return len(text) if text.isascii() else len(text) + (WIDE_CHARACTERS - 1) * len(WIDE.findall(text))


def other_language(text: str, expected: str) -> str:
    """The language that a text surely is of, where that is another; "" where it is not, or where nobody knows."""
    identifier = language_identifier()
    code = re.split("[-_]", expected.casefold())[0]
    if code not in identifier.labels:
        return ""
    found, probability = identifier.classify(text)
    return found if found != code and probability >= SURE else ""


@lru_cache(1)
def language_identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def drop_repeated_pairs(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, those of train as rejects whose pair came before, or whose source is in a split that was read before,
    which is held out.
    """
    held_out, seen = set[int](), set[tuple[int, int]]()
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        source = sentence_hash(row.content)
        if row.split != "train":
            held_out.add(source)
            yield row
        elif source in held_out:
            yield Reject(row.split, row.source, "divide", NOT_CHARGED, row.content[:200])
        elif (pair := (source, sentence_hash(row.text))) in seen:
            yield Reject(row.split, row.source, "divide", DUPLICATE, row.content[:200])
        else:
            seen.add(pair)
            yield row
