"""Labeled sequences: a table, CSV, TSV or JSON lines, with the columns text,label or audio,label.

It may have the columns split (train, dev or test, in any spelling) and speaker, and others, which are kept; audio may
have offset and duration, for pieces of a recording. Paths are relative to the table. Instead of a split column there
may be a table for each split. Without either, or with ingest.own_splits, tasks/ingest/split_corpus.py divides the rows:
no speaker, no text and no recording in two splits.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from infra.errors import UserError
from tasks.corpora.column_names import find_columns, read_channels, read_known, read_span, read_tags, read_text
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_tables import Table, TableRow, find_clip, find_tables, has_column, read_tables
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Reject, Utterance


def labeled(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    tables = find_labeled(source)
    if options.own_splits:
        tables = [replace(table, split="", column="") for table in tables]

    def made(row: TableRow) -> Utterance | Reject:
        return _row(source, row, options.max_characters)

    yield from read_tables(source, tables, splits, made, "")


def find_labeled(source: CorpusFiles) -> list[Table]:
    """The tables of a corpus. Raises UserError where they do not have such rows."""
    tables = find_tables(source, _fits, "a labeled corpus")
    for table in tables:
        place, columns = f"{source.uri}/{table.name}", table.columns
        if not _fits(columns):
            has = f"has {', '.join(columns)}" if columns else "has no rows"
            raise UserError(f"{place}: a labeled table has the columns text,label or audio,label; it {has}")
        if has_column(columns, "audio") and has_column(columns, "text"):
            audio = next(column for column in columns if has_column([column], "audio"))
            raise UserError(f"{place}: it has both {audio} and text; take out the one that is not to be classified")
    return tables


def _fits(columns: tuple[str, ...]) -> bool:
    return has_column(columns, "label") and (has_column(columns, "audio") or has_column(columns, "text"))


def _row(source: CorpusFiles, row: TableRow, most: int) -> Utterance | Reject:
    """most: the characters that a text may have. Raises ValueError for a value that is no text."""
    fields, columns = row.fields, find_columns(tuple(row.fields))
    is_audio = has_column(row.table.columns, "audio")
    label, what = (read_text(fields, names)[0].strip() for names in (columns.label, columns.audio or columns.text))
    for name, value in (("label", label), ("audio" if is_audio else "text", what)):
        if not value:
            return Reject(row.split, row.place, "read", f"empty {name}")
        if "\ufffd" in value:
            return Reject(row.split, row.place, "read", f"{name} is not UTF-8", value[:200])
    if not is_audio and len(what) > most:
        detail = f"{len(what)} characters, ingest.max_characters is {most}"
        return Reject(row.split, row.place, "read", "too long", detail)
    clip = find_clip(source, posixpath.dirname(row.table.name), what) if is_audio else row.place
    speaker, speaker_from = read_known(fields, columns.speaker)
    span = read_span(fields, columns) if is_audio else None
    channels = read_channels(fields, columns) if is_audio else ()
    used = {*columns.audio, *columns.text, *columns.label, *columns.split, *columns.speaker}
    used |= {columns.offset, columns.duration} if span else set()
    used |= {columns.channel} if is_audio else set()
    return Utterance(
        split=row.split,
        clips=(clip,),
        text=label,
        speaker=speaker,
        tags=read_tags(fields, used),
        span=span,
        channels=channels,
        content="" if is_audio else what,
        apart=clip if is_audio else what,
        split_from=row.told,
        speaker_from=speaker_from and f"column {speaker_from}",
    )
