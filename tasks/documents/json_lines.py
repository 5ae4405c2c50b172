"""JSON lines: an object a line; the translation is put behind its last field, and no other byte is changed."""

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from infra.errors import UserError
from tasks.corpora.column_names import TEXT, find_column
from tasks.corpora.table_rows import parse_object
from tasks.documents.document import Passage, Range, Rest, Translated, count_lines, join_bytes
from tasks.documents.text_lines import cut_lines, decode_line, read_lines

FIRST_BYTES = 4096
FIELDS = (*TEXT, "source", "src")


@dataclass(frozen=True)
class JsonLines:
    """text_field, translation_field: as `DocumentConfig` has them."""

    text_field: str = ""
    translation_field: str = "translation"

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        _refuse_array(file)
        return cut_lines(file, most)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        if where.begin == 0:
            _refuse_array(file)
        kept, count = b"", 0
        for number, line in read_lines(file, where):
            count += 1
            _, written, _, problem = decode_line(line, number)
            if not problem and not written.strip():
                kept += line
                continue
            text, problem = ("", problem) if problem else self._text(written)
            closing = line.rstrip().removesuffix(b"}")
            if problem:
                yield Passage(kept, written, number, problem)
                kept = line
            elif text.strip():
                yield Passage(kept + closing, text, number)
                kept = line[len(closing) :]
            else:
                kept += closing + self._field(text) + line[len(closing) :]
        yield Rest(kept, count)

    def _text(self, line: str) -> tuple[str, str]:
        """The text of an object, or why there is none."""
        row = parse_object(line)
        if isinstance(row, str):
            return "", row
        if self.translation_field in row:
            return "", f"has the field {self.translation_field} already; name another, translation_field="
        name = text_column(tuple(row), self.text_field)
        if not name:
            return "", f"no field {self.text_field or ', '.join(FIELDS)}; name it, text_field="
        if not isinstance(row[name], str):
            return "", f"{name} is {json.dumps(row[name])[:60]}, not text"
        return row[name], ""

    def _field(self, text: str | None) -> bytes:
        return f", {json.dumps(self.translation_field)}: {json.dumps(text, ensure_ascii=False)}".encode(
            errors="replace"
        )

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        made, found = list[bytes](), iter(texts)
        for passage in passages:
            made.append(passage.kept)
            if not passage.problem:
                translated = next(found)
                made.append(self._field(translated.text if translated.whole else None))
        return b"".join((*made, rest.kept))

    def count(self, written: bytes) -> int:
        return count_lines(written)

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        join_bytes(ranges, place)


def _refuse_array(file: BinaryIO) -> None:
    """Raises UserError for what other tools call JSON: an array over several lines; leaves the file at its begin."""
    first = file.read(FIRST_BYTES).removeprefix(codecs.BOM_UTF8).split()
    file.seek(0)
    if first and first[0] in {b"[", b"[{"}:
        raise UserError("a JSON array over several lines; write an object a line, as jq -c '.[]' does")


def text_column(names: tuple[str, ...], wanted: str) -> str:
    """The name of the column that holds the text, "" where none does."""
    if wanted:
        return wanted if wanted in names else ""
    return next((found for name in FIELDS if (found := find_column(names, name))), "")
