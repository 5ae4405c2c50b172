r"""ARPA files, plain or gzip, out and in (https://cmusphinx.github.io/wiki/arpaformat/).

A line is `log10 p(w|h)  h w  log10 b(h w)`, the backoff left out where it is 0. <s> has the probability -99, SRILM's
way to write that it is never predicted; BLANK is not written at all. A token that the file lacks is never predicted.
A file may begin with a byte order mark, be compressed whatever it is called, and end its lines as Windows does.
Reading holds the whole model in memory, some 8 bytes a word of an n-gram and more; writing does not.
"""

import codecs
import gzip
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from infra.errors import UserError
from models.search.language.ngram_lm import NGram
from models.special_tokens import BLANK, BOS, EOS, SPECIALS
from tasks.corpora.text_file import GZIP
from tasks.ngram.binary_file import Arrays

NEVER = -99.0
LINES = 1 << 16  # written at a time


def write_arpa(path: Path, model: NGram, spellings: Sequence[str]) -> None:
    """path: with .gz at its end it is compressed. spellings: how each token is written."""
    words = np.array(spellings, object)
    levels = [Arrays(*(table.numpy() for table in level)) for level in model.levels]
    single = np.flatnonzero(np.isfinite(levels[0].log10) | (np.arange(model.size) == BOS))
    shown = [single, *(range(len(level.keys)) for level in levels[1:])]
    with _compressed(path) as file:
        file.write(b"\\data\\\n")
        file.write("".join(f"ngram {k}={len(nodes)}\n" for k, nodes in enumerate(shown, 1)).encode())
        for k, (level, nodes) in enumerate(zip(levels, shown, strict=True), 1):
            file.write(f"\n\\{k}-grams:\n".encode())
            for start in range(0, len(nodes), LINES):
                file.write(_lines(levels[:k], level, np.array(nodes[start : start + LINES]), words).encode())
        file.write(b"\n\\end\\\n")


def _lines(levels: Sequence[Arrays], level: Arrays, nodes: np.ndarray, words: np.ndarray) -> str:
    columns, size, parent = [], len(levels[0].keys), nodes
    for lower in reversed(levels):
        parent, token = np.divmod(lower.keys[parent], size)
        columns.append(words[token].tolist())
    grams = map(" ".join, zip(*reversed(columns), strict=True))
    p = np.maximum(level.log10[nodes], np.float32(NEVER)).tolist()
    if not len(level.backoff):
        return "".join(f"{a:.9g}\t{gram}\n" for a, gram in zip(p, grams, strict=True))
    b = level.backoff[nodes].tolist()
    rows = zip(p, grams, b, strict=True)
    return "".join(f"{a:.9g}\t{gram}\t{c:.9g}\n" if c else f"{a:.9g}\t{gram}\n" for a, gram, c in rows)


@contextmanager
def _compressed(path: Path) -> Iterator[Any]:
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0, compresslevel=6) as file:  # no name, no time:
            yield file  # the same model gives the same bytes


@dataclass(frozen=True)
class ArpaModel:
    """What an ARPA file holds: the orders of a model, and how its tokens are written."""

    levels: list[Arrays]
    spellings: tuple[str, ...]


def read_arpa(path: Path, spellings: Sequence[str] | None = None) -> ArpaModel:
    """The model of a file. spellings: those of the tokenizer whose ids it is to have; without them ids are given to
    the words in their order. Raises UserError, with the number of the line, for what is not an ARPA file.
    """
    with path.open("rb") as raw:
        packed = raw.read(len(GZIP)) == GZIP
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        try:
            return _Reader(path, file, spellings).read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"{path}: damaged ({error}); fetch it again") from error


class _Reader:
    """One pass over a file. number: of the line read last, for messages."""

    def __init__(self, path: Path, file: BinaryIO | gzip.GzipFile, spellings: Sequence[str] | None) -> None:
        self.path, self.file, self.number = path, file, 0
        self.line, self.held = b"", b""
        self.given = spellings is not None
        self.spellings = list(spellings or SPECIALS)
        self.ids = {word.encode(): i for i, word in enumerate(self.spellings) if i != BLANK}

    def read(self) -> ArpaModel:
        counts = self._counts()
        orders = [self._order(k, count, len(counts)) for k, count in enumerate(counts, 1)]
        if self._next() != b"\\end\\":
            raise self._wrong("\\end\\ is missing here: the file is cut off, or \\data\\ counts too few n-grams")
        size = len(self.spellings)
        twice = np.flatnonzero(np.bincount(orders[0][0], minlength=size) > 1)
        if twice.size:
            raise self._lost(twice[:1], "it stands there twice")
        if lost := {BOS, EOS}.difference(orders[0][0].tolist()):
            named, told = SPECIALS[min(lost)], "where sentences begin and end is part of a language model"
            raise UserError(f"{self.path}: the 1-grams have no {named}: {told}; make it with <s> and </s>")
        levels = [_unigrams(*orders[0], size=size, highest=len(orders) == 1)]
        for k, (ids, p, b) in enumerate(orders[1:], 2):
            levels.append(self._level(levels, ids.reshape(-1, k), p, b))
        return ArpaModel(levels, tuple(self.spellings))

    def _counts(self) -> list[int]:
        while self._next(at_end=b"\\end\\") != b"\\data\\":  # anything may stand before it
            if self.line == b"\\end\\":
                raise UserError(f"{self.path}: not an ARPA file (no \\data\\ in it)")
        counts = []
        while (line := self._next()).startswith(b"ngram "):
            order, _, count = line[6:].partition(b"=")
            if not (order.strip().isdigit() and int(order) == len(counts) + 1 and count.strip().isdigit()):
                raise self._wrong(f"expected `ngram {len(counts) + 1}=COUNT`")
            counts.append(int(count))
        if not counts:
            raise self._wrong("expected `ngram 1=COUNT`")
        self.held = line
        return counts

    def _order(self, k: int, count: int, highest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids (n * k,), log10 p (n,) and backoff (n,) of one section."""
        if self._next() != b"\\%d-grams:" % k:
            raise self._wrong(f"expected \\{k}-grams:")
        ids, p, b = array("q"), array("f"), array("f")
        for _ in range(count):
            fields = self._next().split()
            if not k < len(fields) <= k + 1 + (k < highest):
                raise self._wrong(f"expected a probability, {k} words and perhaps a backoff ({count} such lines)")
            words = fields[1 : k + 1]
            p.append(self._number(fields[0], most=0.0))
            b.append(self._number(fields[k + 1], most=99.0) if len(fields) > k + 1 else 0.0)
            ids.extend(self._tokens(words, k))
        return np.array(ids), np.array(p, np.float32), np.array(b if k < highest else [], np.float32)

    def _tokens(self, words: list[bytes], k: int) -> list[int]:
        if k == 1 and not self.given and words[0] not in self.ids and words[0] != b"<UNK>":
            self.ids[words[0]] = len(self.spellings)
            self.spellings.append(self._decoded(words[0]))
        known: Mapping[bytes, int] = self.ids
        tokens = [known.get(b"<unk>" if word == b"<UNK>" else word, -1) for word in words]
        if -1 in tokens:
            word = self._decoded(words[tokens.index(-1)])
            where = "the tokenizer's vocabulary" if self.given and k == 1 else "the 1-grams"
            raise self._wrong(f"the word {word!r} is not in {where}")
        if BOS in tokens[1:]:
            raise self._wrong("<s> stands inside an n-gram")
        return tokens

    def _level(self, levels: list[Arrays], ids: np.ndarray, p: np.ndarray, b: np.ndarray) -> Arrays:
        """The n-grams in order, under their contexts."""
        size, k = len(self.spellings), ids.shape[1]
        ids = ids[order := np.lexsort(ids.T[::-1])]
        node = ids[:, 0]
        for j in range(1, k - 1):
            wanted, there = node * size + ids[:, j], levels[j].keys
            node = np.searchsorted(there, wanted)
            if (lost := np.flatnonzero(np.append(there, -1)[node] != wanted)).size:
                raise self._lost(ids[lost[0]], "its context has no entry")
        keys = node * size + ids[:, -1]
        if (twice := np.flatnonzero(keys[1:] == keys[:-1])).size:
            raise self._lost(ids[twice[0]], "it stands there twice")
        return Arrays(keys, p[order], b[order] if len(b) else b)

    def _next(self, at_end: bytes = b"") -> bytes:
        """The next line that is not blank, without white space around it."""
        if self.held:
            held, self.held = self.held, b""
            return held
        while line := self.file.readline():
            self.number += 1
            self.line = (line.removeprefix(codecs.BOM_UTF8) if self.number == 1 else line).strip()
            if self.line:
                return self.line
        self.line = at_end
        return at_end

    def _number(self, field: bytes, most: float) -> float:
        try:
            value = float(field)
        except ValueError:
            value = np.nan
        if not value <= most:
            raise self._wrong(f"{self._decoded(field)!r} is not a log10 of at most {most:g}")
        return value

    def _decoded(self, word: bytes) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError as error:
            raise self._wrong("not UTF-8") from error

    def _wrong(self, what: str) -> UserError:
        return UserError(f"{self.path}: line {self.number}: {what}")

    def _lost(self, ids: np.ndarray, what: str) -> UserError:
        gram = " ".join(self.spellings[i] for i in ids.tolist())
        return UserError(f"{self.path}: {len(ids)}-gram {gram!r}: {what}")


def _unigrams(ids: np.ndarray, p: np.ndarray, b: np.ndarray, *, size: int, highest: bool) -> Arrays:
    log10, backoff = np.full(size, -np.inf, np.float32), np.zeros(0 if highest else size, np.float32)
    log10[ids] = p
    log10[BOS] = -np.inf
    if not highest:
        backoff[ids] = b
    return Arrays(np.arange(size), log10, backoff)
