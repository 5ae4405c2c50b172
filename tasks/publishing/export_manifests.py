"""The tables of an exported corpus, a split at a time, from the parts that its jobs left.

NeMo: https://docs.nvidia.com/nemo-framework/user-guide/latest/nemotoolkit/asr/datasets.html; Lhotse:
https://lhotse.readthedocs.io/en/latest/corpus.html.
"""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Artifact, Draft
from tasks.corpora.column_names import MEANINGS, plain_name
from tasks.corpora.readers.webdataset import MEASURED, NAMES
from tasks.corpora.utterance import SPLITS

TEXTS = "texts.csv"  # of labeled texts, all splits in one table as the kind `labeled` wants it

# Names that mean something to a reader of ours or to another tool: a tag has another name there.
RESERVED = {plain_name(name) for names in (*MEANINGS, *NAMES.values(), MEASURED) for name in names}

Row = dict[str, Any]


def write_manifests(parts: Draft, shards: list[str], form: str, out: str) -> Counter[str]:
    """The tables of every split; how many rows each has."""
    counts, every = Counter[str](), list[str]()
    for split in SPLITS:
        names = [name for name in shards if name.rpartition("-")[0] == split]
        if not names:
            continue
        every += names
        counts[split] = sum(1 for _ in _rows(parts, names))
        if form == "nemo":
            _write_lines(storage.join(out, f"{split}_manifest.json"), map(_nemo, _rows(parts, names)))
        elif form == "lhotse":
            place = out if storage.is_s3(out) else str(Path(out).absolute())
            recordings = (_recording(row, place) for row in _rows(parts, names))
            _write_lines(storage.join(out, split, "recordings.jsonl.gz"), recordings)
            _write_lines(storage.join(out, split, "supervisions.jsonl.gz"), map(_supervision, _rows(parts, names)))
        elif form == "csv" and not _are_texts(parts, names):
            _write_csv(storage.join(out, f"{split}.csv"), parts, names)
    if form == "csv" and _are_texts(parts, every):
        _write_csv(storage.join(out, TEXTS), parts, every)
    return counts


def write_quarantine(corpus: Artifact, out: str) -> int:
    """quarantine.csv, where there is something in it: the rows that ingest could not use."""
    rows = pq.read_table(corpus.file("quarantine.parquet"))
    if len(rows):
        with storage.stage_file(storage.join(out, "quarantine.csv")) as local, _text(local.open("wb")) as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(rows.column_names)
            table.writerows(row.values() for row in rows.to_pylist())
    return len(rows)


def _rows(parts: Draft, names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        yield from json.loads(parts.read(f"{name}.json"))


def _are_texts(parts: Draft, names: Iterable[str]) -> bool:
    return "content" in next(_rows(parts, names), {})


def _nemo(row: Row) -> Row:
    told = {"audio_filepath": row["path"], "duration": row["seconds"], "text": row["text"]}
    return told | ({"speaker": row["speaker"]} if row["speaker"] else {}) | _others(row, told)


def _recording(row: Row, out: str) -> Row:
    """Lhotse opens a relative path from where it runs, so the paths are whole."""
    samples = round(row["seconds"] * row["sample_rate"])
    kind = "url" if storage.is_s3(out) else "file"
    source = {"type": kind, "channels": list(range(row["channels"])), "source": storage.join(out, row["path"])}
    numbers = {"sampling_rate": row["sample_rate"], "num_samples": samples, "duration": samples / row["sample_rate"]}
    return {"id": row["key"], "sources": [source], **numbers}


def _supervision(row: Row) -> Row:
    channels = list(range(row["channels"]))
    told = {"id": row["key"], "recording_id": row["key"], "start": 0.0}
    told |= {"duration": round(row["seconds"] * row["sample_rate"]) / row["sample_rate"]}
    told |= {"channel": channels if len(channels) > 1 else 0, "text": row["text"]}
    told |= {"speaker": row["speaker"]} if row["speaker"] else {}
    return told | ({"custom": row["tags"]} if row["tags"] else {})


def _write_csv(uri: str, parts: Draft, names: list[str]) -> None:
    """audio, text, speaker, split as the kind `manifest` reads them, or text, label as `labeled` does; and the
    tags.
    """
    texts = _are_texts(parts, names)
    what = ["text", "label"] if texts else ["audio", "text"]
    known = [*what, "speaker", "split"]
    others = sorted({tag for row in _rows(parts, names) for tag in _others(row, known)})
    with storage.stage_file(uri) as local, _text(local.open("wb")) as file:
        table = csv.DictWriter(file, [*known, *others], restval="", lineterminator="\n")
        table.writeheader()
        for row in _rows(parts, names):
            values = (row["content"], row["text"]) if texts else (row["path"], row["text"])
            same = {"speaker": row["speaker"], "split": row["split"]}
            table.writerow(dict(zip(what, values, strict=True)) | same | _others(row, known))


def rename_tags(tags: dict[str, str]) -> dict[str, str]:
    """What is known of a clip beside its text, under names that stand for nothing else."""
    return {f"tag_{name}" if plain_name(name) in RESERVED else name: value for name, value in tags.items()}


def _others(row: Row, known: Iterable[str]) -> Row:
    """The tags that do not have the name of something else."""
    return {name: value for name, value in row["tags"].items() if name not in {*known, "speaker"}}


def _write_lines(uri: str, rows: Iterable[Row]) -> None:
    """JSON lines, packed where the name says so, without a clock in the header."""
    with storage.stage_file(uri) as local, local.open("wb") as raw:
        packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if uri.endswith(".gz") else None
        with _text(packed or raw) as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _text(file: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding="utf-8", newline="")
