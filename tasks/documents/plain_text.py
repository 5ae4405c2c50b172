"""Plain text: a passage a line."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.documents.document import Passage, Range, Rest, Translated, count_lines, join_bytes
from tasks.documents.text_lines import cut_lines, decode_line, read_lines


@dataclass(frozen=True)
class PlainText:
    """.txt, in UTF-8."""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        return cut_lines(file, most)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        kept, count = b"", 0
        for number, line in read_lines(file, where):
            mark, text, end, problem = decode_line(line, number)
            count += 1
            if problem:
                yield Passage(kept, text, number, problem)
                kept = line
            elif text.strip():
                yield Passage(kept + mark, text, number)
                kept = end
            else:
                kept += line
        yield Rest(kept, count)

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        return write_in_place(passages, texts, rest)

    def count(self, written: bytes) -> int:
        return count_lines(written)

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        join_bytes(ranges, place)


def write_in_place(passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
    """Each translation where its text was: one line is one line."""
    made, found = list[bytes](), iter(texts)
    for passage in passages:
        made.append(passage.kept)
        if not passage.problem:
            made.append(next(found).text.replace("\n", " ").encode(errors="replace"))
    return b"".join((*made, rest.kept))
