"""The tables and files that a captioned part is written as: a row a photo, in the one table or in the other."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.archives.output_store import PartResult
from tasks.archives.work_list import sidecar_name
from tasks.steps.parquet_io import to_parquet

VERSION = {"schema_version": "1"}
READING = pa.struct({"text": pa.string(), "score": pa.float64()})
PHOTO = {
    "file": pa.string(),
    "name": pa.string(),  # of its sidecar, without a suffix
    "size": pa.int64(),
    "version": pa.string(),
    "sha256": pa.string(),  # null where it could not be read
}
TABLES = {
    "captions": pa.schema(
        PHOTO
        | {
            "width": pa.int32(),  # of the photo, upright
            "height": pa.int32(),
            "caption": pa.string(),
            "score": pa.float64(),
            "n_best": pa.list_(READING),
            "truncated": pa.bool_(),  # it is as long as the search allows
            "model": pa.string(),  # digests
            "decoding": pa.string(),
        }
    ),
    "quarantine": pa.schema(
        PHOTO
        | {
            "stage": pa.string(),  # list, read, caption
            "reason": pa.string(),
            "detail": pa.string(),
        }
    ),
}
CAPTION_FORMATS = ("parquet", "jsonl", "txt")
Row = dict[str, Any]


def build_tables(number: int, rows: Mapping[str, Sequence[Row]], formats: Iterable[str]) -> PartResult:
    """number: of the part. rows: by table. formats: of CAPTION_FORMATS; Parquet is always there, JSON lines are a file
    a part, as it is.
    """
    captions, files = rows["captions"], dict[str, bytes]()
    tables = {
        name: to_parquet(_table(rows[name], schema))
        for name, schema in TABLES.items()
        if rows[name] or name != "quarantine"
    }
    if "jsonl" in formats:
        lines = (json.dumps(_kept(row, TABLES["captions"]), ensure_ascii=False) + "\n" for row in captions)
        files[f"jsonl/{number:05d}.jsonl"] = "".join(lines).encode()
    if "txt" in formats:
        files |= {sidecar_name("txt", row["name"], ".txt"): f"{row['caption']}\n".encode() for row in captions}
    return PartResult(tables, files, _counts(rows))


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([_kept(row, schema) for row in rows], schema.with_metadata(VERSION))


def _kept(row: Row, schema: pa.Schema) -> Row:
    return {name: row.get(name) for name in schema.names}


def _counts(rows: Mapping[str, Sequence[Row]]) -> dict[str, float]:
    captions, failed = rows["captions"], rows["quarantine"]
    counts = dict(Counter(f"reason: {row['reason']}" for row in failed))
    counts |= {"files": len(captions) + len(failed), "captioned": len(captions), "quarantined": len(failed)}
    counts["bytes"] = sum(row["size"] for row in (*captions, *failed))
    counts["truncated"] = sum(row["truncated"] for row in captions)
    counts["empty"] = sum(not row["caption"] for row in captions)
    counts["words"] = sum(len(row["caption"].split()) for row in captions)
    return {name: float(value) for name, value in counts.items()}
