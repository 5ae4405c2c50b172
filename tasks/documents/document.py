"""What a document is to who translates it: passages of text, and the bytes between them, which stay as they are.

A large document is read in ranges, each of whole lines (rows of a table, units of a TMX), so that no more of it than
one lies in memory; what is made of its ranges, one after the other, is the document.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

Split = Literal["lines", "sentences"]
LONGEST_LINE = 1 << 24  # bytes: a longer one is no text


@dataclass(frozen=True, kw_only=True)
class DocumentConfig:
    """How documents are read and written.

    split_sentences: whether a line is a sentence, or running text that is split by rule. text_field: of JSON lines and
    Parquet, by default one that is called text, sentence, source or alike; translation_field: what is put beside it.
    source_language, target_language: of the units of a TMX, as BCP 47 has them.
    """

    split_sentences: Split = "sentences"
    text_field: str = ""
    translation_field: str = "translation"
    source_language: str = ""
    target_language: str = ""

    def __post_init__(self) -> None:
        if not self.translation_field:
            raise ValueError("translation_field is the name of a field, and not empty")


class Range(NamedTuple):
    """begin, end: bytes of the file, or rows of a table; -1 for all to the end. line: the number of the first line, row
    or unit, from 1 on.
    """

    begin: int = 0
    end: int = -1
    line: int = 1


class Passage(NamedTuple):
    """kept: the bytes before the text. text: what is to be translated, or where there is a problem, of what it is told.
    problem: why it is not translated; its own bytes are then in what is kept after it.
    """

    kept: bytes
    text: str
    line: int
    problem: str = ""


class Rest(NamedTuple):
    """kept: the bytes after the last passage. lines: of the range, translated or not. charset: of the file."""

    kept: bytes
    lines: int
    charset: str = "utf-8"


class Translated(NamedTuple):
    """text: with every sentence that could not be translated as it was. whole: whether there is none."""

    text: str
    whole: bool


class DocumentFormat(Protocol):
    """One format. Each method raises UserError for a file that is none of it, saying why."""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        """Ranges of about `most` bytes, the lines of each in one of them."""
        ...

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        """The passages of a range, and last the rest."""
        ...

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        """The range with its translations. texts: of the passages without a problem."""
        ...

    def count(self, written: bytes) -> int:
        """The lines, rows or units of what was written."""
        ...

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        """What was written of the ranges of one document as a file."""
        ...


def count_lines(written: bytes) -> int:
    return written.count(b"\n") + bool(written and not written.endswith(b"\n"))


def join_bytes(ranges: Iterable[bytes], place: Path) -> None:
    """One after the other."""
    with place.open("wb") as out:
        for data in ranges:
            out.write(data)
