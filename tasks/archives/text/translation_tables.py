"""The tables of a translated part: a row a sentence, a file or piece of one, and what could not be translated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.steps.parquet_io import to_parquet

VERSION = {"schema_version": "1"}
READING = pa.struct({"text": pa.string(), "score": pa.float64()})
TABLES = {
    "translations": pa.schema(
        {
            "file": pa.string(),
            "line": pa.int64(),  # of the file, from 1 on; row of a table, unit of a TMX
            "sentence": pa.int32(),  # of the line, from 0 on
            "source": pa.string(),
            "translation": pa.string(),  # null where it could not be translated
            "score": pa.float64(),
            "n_best": pa.list_(READING),
            "truncated": pa.bool_(),  # it is as long as the search allows
            "tokens": pa.int32(),  # of the source
            "unknown": pa.int32(),  # of these that the vocabulary lacks
            "flags": pa.list_(pa.string()),  # why it is to be doubted
            "model": pa.string(),  # digests
            "decoding": pa.string(),
        }
    ),
    "files": pa.schema(
        {
            "file": pa.string(),
            "name": pa.string(),  # of its document
            "size": pa.int64(),
            "version": pa.string(),
            "status": pa.string(),  # translated, partial, quarantined
            "line": pa.int64(),  # the first of the piece
            "pieces": pa.int32(),  # that the file is cut into
            "lines": pa.int64(),  # of the piece
            "lines_out": pa.int64(),  # of what was written of it
            "sentences": pa.int64(),
            "tokens": pa.int64(),
            "flagged": pa.int64(),  # sentences
            "quarantined": pa.int64(),  # lines and sentences
        }
    ),
    "quarantine": pa.schema(
        {
            "file": pa.string(),
            "line": pa.int64(),  # null: all of the file or piece
            "sentence": pa.int32(),  # null: all of the line
            "source": pa.string(),
            "stage": pa.string(),  # list, read, translate
            "reason": pa.string(),
            "detail": pa.string(),
        }
    ),
    # Of a file that is cut what its document has of this piece.
    "pieces": pa.schema({"name": pa.string(), "begin": pa.int64(), "content": pa.large_binary()}),
}
Row = dict[str, Any]


def flag_translation(source: str, translation: str, longest: float) -> list[str]:
    """Why a translation is to be doubted. longest: how many times longer one side may be than the other."""
    flags = list[str]()
    if not translation.strip():
        flags.append("empty")
    elif translation.strip() == source.strip() and any(c.isalpha() for c in source):
        flags.append("source copied")
    short, long = sorted((len(source.strip()), len(translation.strip())))
    if short and long > 20 and long > longest * short:
        flags.append("length ratio out of range")
    return flags


def build_tables(rows: Mapping[str, Sequence[Row]]) -> tuple[dict[str, bytes], dict[str, float]]:
    """rows: by table. The tables, those of failures and pieces only where there are some, and what is counted."""
    optional = {"quarantine", "pieces"}
    tables = {
        name: to_parquet(_table(rows[name], schema))
        for name, schema in TABLES.items()
        if rows[name] or name not in optional
    }
    counts = Counter[str]()
    for row in rows["files"]:
        counts.update({name: row.get(name) or 0 for name in ("lines", "lines_out", "sentences", "tokens", "flagged")})
        counts["files"] += 1 / row["pieces"]
        counts["bytes"] += row["size"] / row["pieces"]
        counts["files_quarantined"] += (row["status"] == "quarantined") / row["pieces"]
    for row in rows["quarantine"]:
        counts.update({"quarantined": 1, f"reason: {row['reason']}": 1})
    for row in rows["translations"]:
        counts.update(f"flag: {flag}" for flag in row["flags"])
        counts["unknown"] += row["unknown"] or 0
    return tables, {name: float(value) for name, value in counts.items()}


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    kept = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(kept, schema.with_metadata(VERSION))
