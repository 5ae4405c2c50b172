"""Manifests: CSV or TSV (audio,text[,speaker,split]), and JSON lines in NeMo's layout (audio_filepath, text, duration).

JSON lines may have an offset and a channel_selector, as NeMo's do. A folder holds a file for each split (train.jsonl,
dev.csv, test-clean.json, ...), or files with a `split` column, which counts more than a file's name; a single file
without either is all train. Paths are relative to the manifest. Other fields are kept.
"""

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from infra.errors import UserError
from tasks.corpora.column_names import (
    AUDIO,
    SPLIT,
    TEXT,
    find_columns,
    plain_name,
    read_channels,
    read_known,
    read_span,
    read_tags,
    read_text,
    read_words,
)
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_tables import Table, TableRow, find_clip, find_tables, has_column, read_tables
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Reject, Utterance

NEEDED = {"audio": AUDIO, "text": TEXT}
NOT_TAGS = {plain_name(name) for name in (*AUDIO, *TEXT, *SPLIT)}
NO_SPLIT = "nothing says a split: all train"


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    tables = find_manifests(source)
    if options.own_splits:
        tables = [replace(table, split="", column="") for table in tables]

    def made(row: TableRow) -> Utterance:
        return _utterance(source, row)

    yield from read_tables(source, tables, splits, made, "" if options.own_splits else "train")


def find_manifests(source: CorpusFiles) -> list[Table]:
    """Raises UserError where there is none, and for one without the columns that it needs."""
    tables = find_tables(source, lambda columns: all(has_column(columns, role) for role in NEEDED), "a manifest")
    for table in tables:
        for role, names in NEEDED.items() if table.columns else ():
            if not has_column(table.columns, role):
                what = f"no column {' or '.join(names)}"
                raise UserError(f"{source.uri}/{table.name}: {what}; it has {', '.join(table.columns)}")
    return tables


def _utterance(source: CorpusFiles, row: TableRow) -> Utterance:
    fields, columns = row.fields, find_columns(tuple(row.fields))
    audio, _ = read_text(fields, columns.audio)
    if not audio.strip():
        raise ValueError(f"none of {', '.join(AUDIO)}")
    speaker, speaker_from = read_known(fields, columns.speaker)
    used = {
        *columns.speaker,
        columns.offset,
        columns.duration,
        columns.channel,
        *(n for n in fields if plain_name(n) in NOT_TAGS),
    }
    return Utterance(
        split=row.split,
        clips=(find_clip(source, posixpath.dirname(row.table.name), audio.strip()),),
        text=read_words(fields, columns.text),
        speaker=speaker,
        tags=read_tags(fields, used),
        span=read_span(fields, columns),
        channels=read_channels(fields, columns),
        split_from=row.told or (NO_SPLIT if row.split else ""),
        speaker_from=speaker_from and f"column {speaker_from}",
    )
