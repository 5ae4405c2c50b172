"""Labeled sequences: one table, CSV, TSV or JSON lines, with the columns text,label or audio,label.

It may have the columns split (train, dev or test, under the names that are common) and speaker, and others, which are
kept; audio may have offset and duration, for pieces of a recording. Paths are relative to the table. Without a split
column, or with ingest.own_splits, tasks/ingest/split_corpus.py divides the rows: no speaker, no text and no
recording in two splits.
"""

import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.readers.manifest import AUDIO, SPLIT_NAMES, SUFFIXES, find_clip, read_rows, read_span, shallowest
from tasks.corpora.utterance import Reject, Utterance

COLUMNS_SEEN_IN = 100  # JSON lines name their columns each by itself


@dataclass(frozen=True)
class Table:
    """name: of the file. audio: its column of paths, "" where the rows are texts. split: whether its rows say theirs.
    most: the characters that a text may have.
    """

    name: str
    audio: str
    split: bool
    most: int


def labeled(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    table = find_table(source, options)
    for split in splits if table.split else ("",):
        for number, row in read_rows(source, table.name):
            found = _read(source, table, number, row)
            if found.split == split:
                yield found


def find_table(source: CorpusFiles, options: IngestConfig) -> Table:
    """The table of a corpus and what it has. Raises UserError where there is not exactly one, or it has no such
    rows.
    """
    names = shallowest(source.names(SUFFIXES))
    if source.asked:
        names = [posixpath.basename(source.asked)]
    if len(names) != 1:
        found = f"it has {len(names)}: {', '.join(names[:5])}; name one of them" if names else "it has none"
        raise UserError(f"corpus {source.uri}: a labeled corpus is one table ({', '.join(SUFFIXES)}); {found}")
    first = islice((row for _, row in read_rows(source, names[0]) if isinstance(row, dict)), COLUMNS_SEEN_IN)
    columns = {name: None for row in first for name in row}
    audio, place = next((name for name in AUDIO if name in columns), ""), f"{source.uri}/{names[0]}"
    if "label" not in columns or not (audio or "text" in columns):
        has = f"has {', '.join(columns)}" if columns else "has no rows"
        raise UserError(f"{place}: a labeled table has the columns text,label or audio,label; it {has}")
    if audio and "text" in columns:
        raise UserError(f"{place}: it has both {audio} and text; take out the one that is not to be classified")
    return Table(names[0], audio, "split" in columns and not options.own_splits, options.max_characters)


def _read(source: CorpusFiles, table: Table, number: int, row: dict[str, Any] | str) -> Utterance | Reject:
    """One row; one that says no split that is known is a reject of train."""
    place, split = f"{table.name}:{number}", "train" if table.split else ""
    if isinstance(row, str):
        return Reject(split, place, "read", "malformed row", row)
    if table.split:
        said = str(row.get("split") or "")
        split = SPLIT_NAMES.get(said.strip().lower(), "")
        if not split:
            return Reject("train", place, "read", "no split", f"{said!r} is none of {', '.join(SPLIT_NAMES)}")
    try:
        label, what = _cell(row, "label"), _cell(row, table.audio or "text")
        span = read_span(row) if table.audio else None
    except ValueError as error:
        return Reject(split, place, "read", "malformed row", str(error))
    if fault := _fault(table, label, what):
        return Reject(split, place, "read", *fault)
    clip = find_clip(source, posixpath.dirname(table.name), what) if table.audio else place
    used = {table.audio or "text", "label", "split", "speaker", *(("offset", "duration") if span else ())}
    return Utterance(
        split=split,
        clips=(clip,),
        text=label,
        speaker=str(row.get("speaker") or ""),
        tags={name: str(value) for name, value in row.items() if name not in used and value not in (None, "")},
        span=span,
        content="" if table.audio else what,
        apart=clip if table.audio else what,
    )


def _fault(table: Table, label: str, what: str) -> tuple[str, str] | None:
    """Why a row cannot be used: the reason, and what of this row it is."""
    for name, value in (("label", label), (table.audio or "text", what)):
        if not value:
            return f"empty {name}", ""
        if "\ufffd" in value:
            return f"{name} is not UTF-8", value[:200]
    if not table.audio and len(what) > table.most:
        return "too long", f"{len(what)} characters, ingest.max_characters is {table.most}"
    return None


def _cell(row: dict[str, Any], name: str) -> str:
    """A cell as text, "" for none; of JSON, numbers and truth values as JSON writes them. Raises ValueError for a
    list or an object.
    """
    value = row.get(name)
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, int | float):
        return json.dumps(value)
    raise ValueError(f"{name} is {json.dumps(value)[:80]}, not text")
