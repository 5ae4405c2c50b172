"""Sentence pairs as readers make them: what cannot be one is a reject with its place."""

from collections.abc import Iterator
from itertools import zip_longest

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.text_file import read_lines
from tasks.corpora.utterance import Reject, Utterance

SIDES = ("source", "target")
PACKED = (".gz", ".zst")

Row = Utterance | Reject


def languages(options: IngestConfig, corpus: str) -> tuple[str, str]:
    """The two that are asked for. Raises UserError where they are none, or the same."""
    pair = options.source_language, options.target_language
    if not all(pair):
        told = "say which language is translated into which: --source-language en --target-language de"
        raise UserError(f"corpus {corpus}: {told}")
    if pair[0].casefold() == pair[1].casefold():
        raise UserError(f"corpus {corpus}: from {pair[0]} into {pair[1]}: name two languages")
    return pair


def sentence_pair(place: str, split: str, sides: tuple[str, str], split_from: str = "") -> Row:
    """place: what names the pair. What no two splits may share is the source."""
    source, target = (" ".join(side.split()) for side in sides)
    for name, side, raw in zip(SIDES, (source, target), sides, strict=True):
        if not side:
            return Reject(split, place, "read", f"empty {name}")
        if "\ufffd" in side or not is_unicode(side):
            return Reject(split, place, "read", f"{name} is not UTF-8", ascii(side)[:200])
        if control := next((letter for letter in side if not letter.isprintable() and _is_control(letter)), ""):
            return Reject(split, place, "read", f"control character in {name}", f"{control!r} in {raw[:100]!r}")
    return Utterance(split, (place,), target, content=source, apart=source, split_from=split_from)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can say it: no half of a surrogate pair stands alone."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_control(letter: str) -> bool:
    return ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0


def read_aligned(source: CorpusFiles, names: tuple[str, str], split: str, split_from: str) -> Iterator[Row]:
    """The pairs of two files that have one sentence a line. Raises UserError where one has more lines."""
    places = [source.locate(name) for name in names]
    assert all(places), names
    both = [read_lines(name, place) for name, place in zip(names, places, strict=True) if place]
    counts = [0, 0]
    for number, pair in enumerate(zip_longest(*both), 1):
        counts = [count + (side is not None) for count, side in zip(counts, pair, strict=True)]
        if counts[0] == counts[1] == number:
            yield sentence_pair(f"{names[0]}:{number}", split, (pair[0], pair[1]), split_from)
    if counts[0] != counts[1]:
        told = " and ".join(f"{name} has {count:,} lines" for name, count in zip(names, counts, strict=True))
        raise UserError(f"{source.uri}: sides of different length: {told}; one line is one sentence pair")


def without_packing(name: str) -> str:
    """Of a file that may be compressed."""
    return next((name.removesuffix(packed) for packed in PACKED if name.endswith(packed)), name)
