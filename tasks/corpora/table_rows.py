"""The rows of a table: CSV, TSV or JSON lines, each as a mapping, or what is wrong with it.

A sentence with a line feed inside is one row where it is quoted. Where it is not, the pieces are one fault: no half of
it passes for a row.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from infra.errors import UserError
from tasks.corpora.column_names import TEXT, check_doubled, find_columns, plain_name
from tasks.corpora.corpus_files import CorpusFiles

DELIMITED = (".csv", ".tsv")
SUFFIXES = (".jsonl", ".json", *DELIMITED)
SPOKEN = {plain_name(name) for name in TEXT}

Row = dict[str, Any] | str  # or what is wrong with it
Fields = list[str]
Record = tuple[int, Fields]  # the line that it begins in
Fault = tuple[int, str]
CARRIAGE_RETURN = "new-line character seen in unquoted field"  # what csv says of one


def read_rows(
    source: CorpusFiles, name: str, is_clip: Callable[[str], object] = lambda _: False
) -> Iterator[tuple[int, Row]]:
    """Each row with the number of the line that it begins in. is_clip: whether the corpus has a clip that a table
    calls so, which tells a row that is cut short from the second half of the row before.

    Raises UserError for a column that is there twice, and for quoting that cannot be followed.
    """
    if not name.lower().endswith(DELIMITED):
        yield from _json_rows(source, name)
        return
    names, records = _header(source, name)
    joinable = name.lower().endswith(".tsv")
    for number, fields in _Whole(names, is_clip, joins=joinable).rows(records):
        yield number, fields if isinstance(fields, str) else dict(zip(names, fields, strict=True))


def read_header(source: CorpusFiles, name: str) -> list[str]:
    """The columns that the first line names; none of JSON lines."""
    return [column for column in _header(source, name)[0] if column] if name.lower().endswith(DELIMITED) else []


def _header(source: CorpusFiles, name: str) -> tuple[list[str], Iterator[Record | Fault]]:
    """The names of the columns, and the records after them."""
    records = _tab_records(source, name) if name.lower().endswith(".tsv") else _comma_records(source, name)
    names = [field.strip() for field in next(records, (1, []))[1]]
    try:
        check_doubled(names)
    except ValueError as error:
        raise UserError(f"{source.uri}/{name}: {error}; rename one, or take it out") from error
    return names, records


def _comma_records(source: CorpusFiles, name: str) -> Iterator[Record | Fault]:
    table = csv.reader((f"{line}\n" for line in source.lines(name)), strict=True, skipinitialspace=True)
    fields, begin = list[str](), 1
    while True:
        try:
            fields = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            if CARRIAGE_RETURN not in str(error) or begin == 1:
                place = f"{source.uri}/{name}, near line {table.line_num}"
                raise UserError(f"{place}: {error}; mend the quoting") from error
            yield begin, "a carriage return in a field without quotes"
        else:
            if fields:
                yield begin, fields
        begin = table.line_num + 1


def _tab_records(source: CorpusFiles, name: str) -> Iterator[Record]:
    """Quotes are text, as in Common Voice, but for a whole field that a CSV writer quoted: of a table with all names of
    its columns in quotes every such field.
    """
    every: bool | None = None
    for number, line in enumerate(source.lines(name), start=1):
        if line.strip():
            fields = line.split("\t")
            if every is None:
                every = all(len(field) > 1 and field[0] == field[-1] == '"' for field in fields)
            yield number, [unquote(field, bare=every) for field in fields] if '"' in line else fields


def unquote(field: str, *, bare: bool = False) -> str:
    """The field as it was before a CSV writer quoted it: only a whole field in quotes whose inner quotes are all
    doubled was, and with `bare` one that has none inside. Any other quote, closed or not, is text.
    """
    inner = field[1:-1]
    if len(field) < 2 or field[0] != '"' or field[-1] != '"' or not (bare or '""' in inner):
        return field
    return field if '"' in inner.replace('""', "") else inner.replace('""', '"')


class _Whole:
    """Records of a table put together where a line feed divides one, as far as that can be known."""

    def __init__(self, names: list[str], is_clip: Callable[[str], object], *, joins: bool) -> None:
        self.count, self.is_clip, self.joins = len(names), is_clip, joins
        clips = find_columns(tuple(names)).audio
        self.clip = names.index(clips[0]) if clips else len(names)
        self.ends_spoken, self.begins_spoken = (bool(names) and plain_name(names[i]) in SPOKEN for i in (-1, 0))
        self.whole: Record | None = None  # a record that the next line may go on
        self.pieces: list[Record] = []

    def rows(self, records: Iterable[Record | Fault]) -> Iterator[Record | Fault]:
        for number, fields in records:
            if isinstance(fields, str):
                yield from self._ended()
                yield number, fields
            elif len(fields) == self.count and not self.pieces:
                if self.whole:
                    yield self.whole
                self.whole = number, fields
            else:
                yield from self._odd((number, fields))
        yield from self._ended()

    def _odd(self, record: Record) -> Iterator[Record | Fault]:
        """A record that lacks fields or has too many, or that comes after one that lacks some."""
        number, fields = record
        missing = self.count - len(fields)
        if missing < 0:
            yield from self._ended()
            yield number, f"{len(fields)} fields for {self.count} columns"
            return
        before = self.pieces or ([self.whole] if self.whole else [])
        goes_on = bool(self.pieces) or (bool(before) and self.ends_spoken)
        if before and (joined := self._joined([*before, record])):
            self.whole, self.pieces = None, []
            yield joined
        elif goes_on and not (self._names_clip(fields) if missing else not self.begins_spoken):
            self.whole, self.pieces = None, [*before, record]
            if not missing:
                yield from self._ended()
        else:
            yield from self._ended()
            self.whole, self.pieces = (None, [record]) if missing else (record, [])

    def _names_clip(self, fields: Fields) -> bool:
        """Whether the piece is the beginning of a row of its own."""
        return self.clip < len(fields) and bool(self.is_clip(fields[self.clip].strip()))

    def _joined(self, records: list[Record]) -> tuple[int, Fields] | None:
        """The record, where its pieces are those of one quoted field."""
        fields, at = list(records[0][1]), len(records[0][1]) - 1
        for _, more in records[1:]:
            fields[-1:] = [f"{fields[-1]}\n{more[0]}", *more[1:]]
        field = fields[at]
        quoted = len(field) > 1 and field[0] == field[-1] == '"' and '"' not in field[1:-1].replace('""', "")
        if not self.joins or len(fields) != self.count or not quoted:
            return None
        return records[0][0], [*fields[:at], field[1:-1].replace('""', '"'), *fields[at + 1 :]]

    def _ended(self) -> Iterator[Record | Fault]:
        whole, pieces = self.whole, self.pieces
        self.whole, self.pieces = None, []
        if whole:
            yield whole
        if pieces:
            to = f"to line {pieces[-1][0]}: " if len(pieces) > 1 else ""
            counts = " and ".join(str(len(fields)) for _, fields in pieces[:3])
            advice = "; quote a line feed inside" if len(pieces) > 1 else ""
            yield pieces[0][0], f"{to}{counts} fields for {self.count} columns{advice}"


def _json_rows(source: CorpusFiles, name: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(source.lines(name), start=1):
        if line.strip():
            yield number, parse_object(line)


def parse_object(text: str) -> Row:
    """A JSON object, or what is wrong with it."""
    try:
        row = json.loads(text)
        if isinstance(row, dict) and text.count(":") > len(row):  # else no key can be there twice
            row = json.loads(text, object_pairs_hook=unique_keys)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()  # refuses half a surrogate pair, which no file can hold
    except UnicodeEncodeError as error:
        return f"half a surrogate pair, \\u{ord(error.object[error.start]):04x}, which is no character"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
    if not isinstance(row, dict):
        return "not a JSON object"
    return row


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that is there twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice} is there twice")
    return row
