"""Parquet: a text a row; the translation is a column after the others, which stay as they are."""

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import UserError
from tasks.corpora.archive_members import ALLOWANCE_BYTES, RATIO
from tasks.documents.document import Passage, Range, Rest, Translated
from tasks.documents.json_lines import FIELDS, JsonLines, text_column
from tasks.steps.parquet_io import from_parquet, to_parquet

ROWS = 256  # that are decoded at a time
MOST_ROWS = 64 * ROWS  # of a range: what one says of its size is how it is packed, and one word may be a million rows
TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


class ParquetTable(JsonLines):
    """With the fields of JSON lines as its columns."""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        told = _opened(file).metadata
        size = sum(told.row_group(i).total_byte_size for i in range(told.num_row_groups))
        step = min(MOST_ROWS, max(1, told.num_rows * most // max(1, size)))
        for begin in range(0, told.num_rows, step):
            yield Range(begin, min(begin + step, told.num_rows), begin + 1)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        table = _opened(file)
        name = self._column(table.schema_arrow)
        rows = _rows(table, where, RATIO * file.seek(0, 2) + ALLOWANCE_BYTES)
        for number, text in enumerate(rows[name].to_pylist(), where.line):
            if text and text.strip():
                yield Passage(b"", text, number)
        yield Rest(to_parquet(rows), rows.num_rows)

    def _column(self, schema: pa.Schema) -> str:
        names = tuple(schema.names)
        if self.translation_field in names:
            raise UserError(f"has the column {self.translation_field} already; name another, translation_field=")
        name = text_column(names, self.text_field)
        if not name or names.count(name) > 1:
            raise UserError(f"no column {self.text_field or ', '.join(FIELDS)}, or two; name it, text_field=")
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_text(kind) for is_text in TEXTS):
            raise UserError(f"the column {name} holds {kind}, not text")
        return name

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        """A text of no words is its own translation; one that could not be translated whole has none."""
        table = from_parquet(rest.kept)
        column = table[self._column(table.schema)].to_pylist()
        first = passages[0].line if passages else 1
        found = {p.line: t.text if t.whole else None for p, t in zip(passages, texts, strict=True)}
        blank = first - next((i for i, text in enumerate(column) if text and text.strip()), 0)
        made = [found.get(blank + i, text) for i, text in enumerate(column)]
        return to_parquet(table.append_column(self.translation_field, pa.array(made, pa.string())))

    def count(self, written: bytes) -> int:
        return pq.read_metadata(io.BytesIO(written)).num_rows

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        writer: Any = None
        for data in ranges:
            table = from_parquet(data)
            writer = writer or pq.ParquetWriter(place, table.schema)
            writer.write_table(table)
        if writer:
            writer.close()


def _opened(file: BinaryIO) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"no Parquet ({' '.join(str(error).split())[:100]})") from error


def _rows(table: pq.ParquetFile, where: Range, most: int) -> pa.Table:
    """Those of the range, of the row groups that have some of them. most: bytes."""
    told, begin = table.metadata, 0
    end, chosen, skipped = told.num_rows if where.end < 0 else where.end, list[int](), 0
    for group in range(told.num_row_groups):
        size = told.row_group(group).num_rows
        if begin < end and begin + size > where.begin:
            chosen.append(group)
        elif begin + size <= where.begin:
            skipped += size
        begin += size
    some, at, held = list[pa.RecordBatch](), skipped, 0
    try:
        # Of a group alone: Arrow cannot read lists of dictionaries, and the like, from several at once.
        for batch in (one for group in chosen for one in table.iter_batches(ROWS, row_groups=[group])):
            if at >= end:
                break
            low, high = max(where.begin - at, 0), min(end - at, batch.num_rows)
            if low < high:
                some.append(batch.slice(low, high - low))
                held += some[-1].nbytes
                if held > most:
                    raise UserError(f"unpacks without end ({held >> 20} MB so far, more than {RATIO} times its size)")
            at += batch.num_rows
        return pa.Table.from_batches(some, table.schema_arrow)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"damaged Parquet ({' '.join(str(error).split())[:100]})") from error
