"""The tables and files that a transcribed part is written as: a row a segment, an interval, a file, a failure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.archives.output_store import PartResult
from tasks.archives.work_list import sidecar_name
from tasks.steps.parquet_io import to_parquet
from tasks.transcription.transcript import Transcript
from tasks.transcription.transcript_formats import FORMATS, format_transcript

VERSION = {"schema_version": "1"}
WORD = pa.struct({"text": pa.string(), "start": pa.float64(), "end": pa.float64(), "confidence": pa.float64()})
READING = pa.struct({"text": pa.string(), "score": pa.float64()})
TABLES = {
    "transcripts": pa.schema(
        {
            "file": pa.string(),
            "channel": pa.int32(),  # from 0 on; 0 also of a mix of all
            "segment": pa.int32(),
            "start": pa.float64(),  # seconds
            "end": pa.float64(),
            "text": pa.string(),
            "confidence": pa.float64(),
            "words": pa.list_(WORD),
            "n_best": pa.list_(READING),
            "flags": pa.list_(pa.string()),  # why it is to be doubted
            "model": pa.string(),  # digests
            "decoding": pa.string(),
        }
    ),
    # Intervals of each channel that follow one another from 0 to the file's frames.
    "coverage": pa.schema(
        {
            "file": pa.string(),
            "channel": pa.int32(),
            "begin": pa.int64(),  # frames at the file's rate
            "end": pa.int64(),
            "fate": pa.string(),  # decoded, silence, failed
            "segment": pa.int32(),  # of what was decoded
            "flags": pa.list_(pa.string()),
        }
    ),
    "files": pa.schema(
        {
            "file": pa.string(),
            "name": pa.string(),  # of its files of other formats
            "size": pa.int64(),
            "version": pa.string(),
            "sha256": pa.string(),
            "status": pa.string(),  # transcribed, partial, quarantined
            "rate": pa.int32(),
            "frames": pa.int64(),
            "seconds": pa.float64(),
            "channels": pa.int32(),
            "segments": pa.int32(),
            "words": pa.int32(),
            "confidence": pa.float64(),
            "flagged": pa.int32(),  # segments
        }
    ),
    "quarantine": pa.schema(
        {
            "file": pa.string(),
            "size": pa.int64(),
            "sha256": pa.string(),
            "stage": pa.string(),  # list, read, decode
            "reason": pa.string(),
            "detail": pa.string(),
        }
    ),
}
ARCHIVE_FORMATS = ("parquet", "jsonl", *FORMATS)


class FileTranscript(NamedTuple):
    """One file. told: its row of `files` and, where something failed, that of `quarantine`. transcript: none where
    nothing could be read.
    """

    told: Mapping[str, Any]
    transcript: Transcript | None


def build_tables(files: Sequence[FileTranscript], digests: Mapping[str, str], formats: Iterable[str]) -> PartResult:
    """digests: of the model and of the decoding. formats: of ARCHIVE_FORMATS; Parquet is always there."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    written, counts = dict[str, bytes](), {"files": float(len(files))}
    for one in files:
        segments = [row | dict(digests) for row in _segment_rows(one)]
        rows["transcripts"] += segments
        rows["coverage"] += _coverage_rows(one)
        summary = _summary(segments)
        rows["files"].append(dict(one.told) | summary)
        if one.told["status"] != "transcribed":
            rows["quarantine"].append(dict(one.told))
            counts[f"reason: {one.told['reason']}"] = counts.get(f"reason: {one.told['reason']}", 0.0) + 1
        if one.transcript:
            written |= _files(one, one.transcript, segments, formats)
    tables = {
        name: to_parquet(_table(found, TABLES[name])) for name, found in rows.items() if found or name != "quarantine"
    }
    return PartResult(tables, written, counts | _counts(rows))


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    kept = [{name: row.get(name) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(kept, schema.with_metadata(VERSION))


def _segment_rows(one: FileTranscript) -> list[dict[str, Any]]:
    return [
        {
            "file": one.told["file"],
            "channel": segment.channel,
            "segment": number,
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "confidence": segment.confidence,
            "words": [word._asdict() for word in segment.words],
            "n_best": [reading._asdict() for reading in segment.n_best],
            "flags": list(segment.flags),
        }
        for number, segment in enumerate(one.transcript.segments if one.transcript else ())
    ]


def _coverage_rows(one: FileTranscript) -> list[dict[str, Any]]:
    intervals = one.transcript.coverage if one.transcript else ()
    return [{"file": one.told["file"]} | interval._asdict() | {"flags": list(interval.flags)} for interval in intervals]


def _summary(segments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sure = [word["confidence"] for row in segments for word in row["words"]]
    return {
        "segments": len(segments),
        "words": len(sure),
        "confidence": sum(sure) / len(sure) if sure else None,
        "flagged": sum(bool(row["flags"]) for row in segments),
    }


def _counts(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    counts = {name: 0.0 for name in ("seconds", "decoded_seconds", "silence_seconds", "failed_seconds")}
    rates = {row["file"]: row.get("rate") or 1 for row in rows["files"]}
    for row in rows["coverage"]:
        counts[f"{row['fate']}_seconds"] += (row["end"] - row["begin"]) / rates[row["file"]]
    counts["seconds"] = sum(row.get("seconds") or 0.0 for row in rows["files"])
    counts |= {name: float(sum(row[name] for row in rows["files"])) for name in ("segments", "words", "flagged")}
    counts["bytes"] = float(sum(row.get("size") or 0 for row in rows["files"]))
    counts["quarantined"] = float(len(rows["quarantine"]))
    return counts


def _files(
    one: FileTranscript, transcript: Transcript, segments: Sequence[Mapping[str, Any]], formats: Iterable[str]
) -> dict[str, bytes]:
    """One a format."""
    written, name = dict[str, bytes](), one.told["name"]
    for how in formats:
        if how == "jsonl":
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in segments)
            written[sidecar_name("jsonl", name, ".jsonl")] = "".join(lines).encode()
        elif how != "parquet":
            text = format_transcript(transcript, name.rpartition("/")[2], how)
            written[sidecar_name(how, name, FORMATS[how][0])] = text.encode()
    return written
