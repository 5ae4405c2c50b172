"""A corpus given out to other tools: its clips and texts in a format that they read, and what it had to leave out.

    webdataset  SPLIT/000000.tar, with KEY.EXTENSION, KEY.txt and KEY.json for each clip; of texts KEY.txt and KEY.cls
    nemo        SPLIT_manifest.json, JSON lines (audio_filepath, duration, text, ...), the clips below audio/
    csv         SPLIT.csv (audio, text, speaker, split, ...), the clips below audio/; texts.csv (text, label, ...)
    lhotse      SPLIT/recordings.jsonl.gz and SPLIT/supervisions.jsonl.gz, the clips below audio/

Each shard is a job. While it goes on the place holds unfinished/, where a killed export is continued; export.json is
written last. A clip is given out only as it was taken in, by its SHA-256. tasks/publishing/export_manifests.py writes
the tables.
"""

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import pyarrow.parquet as pq
import soundfile

from infra import storage
from infra.artifact_store import Artifact, Draft
from infra.errors import UserError
from tasks.corpora.corpus_uri import UNFINISHED
from tasks.corpora.utterance import SPLITS
from tasks.ingest import tar
from tasks.ingest.ingest_text import pieces_with_source
from tasks.ingest.shard_format import TEXT, canonical_json, read_shard
from tasks.publishing.export_manifests import rename_tags, write_manifests, write_quarantine
from tasks.steps.ray_jobs import Job, run_jobs

Format = Literal["webdataset", "nemo", "csv", "lhotse"]
NO_SOUND = {"mfc": "cepstra", "raw": "samples without a header"}  # what other tools do not read as sound
SAFE = re.compile(r"[A-Za-z0-9_-]{1,200}")
DOCUMENT_BYTES, TAR_BYTES = 16 << 20, 64 << 20  # at which a long document, and a tar of documents, is closed

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Export:
    """out: a folder or s3://bucket/prefix that is empty or not there."""

    format: Format
    out: str


def export_corpus(corpus: Artifact, export: Export) -> dict[str, Any]:
    """Give a `shards` or `text` artifact out; the content of export.json.

    Raises UserError for a place that is not empty, a format that cannot hold the corpus, and clips that are not what
    was taken in.
    """
    _fits(corpus, export.format)
    told = {"artifact": str(corpus), "digest": corpus.digest, "format": export.format}
    folder, _, name = UNFINISHED.rpartition("/")
    parts = Draft("export", storage.join(export.out, folder))
    _begin(export.out, parts, name, told)
    if corpus.kind == "text":
        counts = _export_text(corpus, export.out)
    else:
        shards = corpus.names(".tar")
        done = parts.finished()
        same = {"shards": corpus.digest, "format": export.format, "out": export.out, "parts": parts.uri}
        jobs: list[Job] = [{"shard": shard, **same} for shard in shards if f"{shard}.json" not in done]
        for _ in run_jobs(export_shard, jobs, "export"):
            pass
        counts = write_manifests(parts, shards, export.format, export.out)
    counts["quarantined"] = write_quarantine(corpus, export.out)
    told |= {"splits": counts}
    storage.remove_stale(export.out)
    storage.write(storage.join(export.out, "export.json"), f"{json.dumps(told, indent=2)}\n".encode())
    storage.remove(parts.uri)
    return told


def _fits(corpus: Artifact, form: Format) -> None:
    """Raises UserError where the format cannot hold what the corpus has."""
    if corpus.kind == "text":
        if form != "webdataset":
            raise UserError(f"{corpus} is plain text, which {form} has no place for; use --format webdataset")
        return
    index = pq.read_table(corpus.file("index.parquet"), columns=["extension"])
    found = set(index["extension"].unique().to_pylist())
    if form in {"nemo", "lhotse"} and (bad := sorted(found & {TEXT, *NO_SOUND})):
        what = NO_SOUND.get(bad[0], "texts")
        raise UserError(f"{corpus} holds {what}, and {form} describes recordings; use --format webdataset or csv")
    if form == "csv" and TEXT in found and len(found) > 1:
        raise UserError(f"{corpus} holds texts and clips, which one table cannot; use --format webdataset")


def _begin(out: str, parts: Draft, name: str, told: dict[str, str]) -> None:
    """Take the place, or take it up again where the same export was killed there."""
    content = json.dumps(told, sort_keys=True).encode()
    if storage.stat(storage.join(parts.uri, name)):
        if parts.read(name) != content:
            raise UserError(f"{out}: another export has not ended there; delete it, or name another place with --out")
    elif storage.stat(out):
        raise UserError(f"{out}: a file; name a folder with --out")
    elif there := storage.list_files(out):
        first = next(iter(there))
        raise UserError(f"{out}: not empty ({len(there)} files, first {first}); name another place with --out")
    parts.put(name, content)


def export_shard(job: Job) -> Job:
    """The clips of one shard, and what is said of them as a part, which comes last and marks the job as finished."""
    shards, name, out = Artifact("shards", job["shards"]), job["shard"], job["out"]
    stem = name.removesuffix(".tar")
    given: list[Row] = []
    if job["format"] == "webdataset":
        split, _, number = stem.rpartition("-")
        place = storage.join(out, _safe(split, name), f"{int(number):06}.tar")
        with storage.stage_file(place) as local, local.open("wb") as file, tar.SampleWriter(file) as target:
            for row, data in _rows(shards, name):
                target.write(row["key"], _members(row, data))
                given.append(_told(row, ""))
    else:
        for row, data in _rows(shards, name):
            path = f"audio/{_safe(stem, name)}/{row['key']}.{row['extension']}"
            if row["extension"] == TEXT:
                given.append(_told(row, "") | {"content": data.decode()})
                continue
            storage.write(storage.join(out, path), data)
            channels = {"channels": soundfile.info(io.BytesIO(data)).channels} if job["format"] == "lhotse" else {}
            given.append(_told(row, path) | channels)
    Draft("export", job["parts"]).put(f"{name}.json", canonical_json(given).encode())
    return {"given": len(given)}


def _rows(shards: Artifact, name: str) -> Iterator[tuple[Row, bytes]]:
    """Each row of a shard's index with its bytes. Raises UserError where they are not those that were taken in."""
    index = pq.read_table(shards.file("index.parquet"), filters=[("shard", "==", name)]).to_pylist()
    rows = {row["key"]: row for row in index}
    for sample in read_shard(shards.file(name)):
        if row := rows.pop(sample.key, None):
            _safe(row["key"], name)
            _safe(row["extension"], name)
            if row["split"] not in SPLITS or hashlib.sha256(sample.data).hexdigest() != row["sha256"]:
                raise UserError(f"{shards}, {name}: {row['key']} is not what was taken in; run the ingest again")
            yield row, sample.data
    if rows:
        raise UserError(
            f"{shards}, {name}: {len(rows)} clips are missing, first {next(iter(rows))}; run the ingest again"
        )


def _safe(name: str, shard: str) -> str:
    """A name of the artifact, which may come from elsewhere, as a file's name. Raises UserError where it is none."""
    if not SAFE.fullmatch(name):
        raise UserError(f"{shard}: {name!r} cannot be the name of a file; the artifact was not made by ingest")
    return name


def _members(row: Row, data: bytes) -> dict[str, bytes]:
    told = rename_tags(json.loads(row["tags"])) | {"speaker": row["speaker"], "split": row["split"]}
    if row["extension"] == TEXT:
        return {TEXT: data, "cls": row["text"].encode(), "json": canonical_json(told).encode()}
    told |= {"text": row["text"], "seconds": row["seconds"], "sample_rate": row["sample_rate"]}
    return {row["extension"]: data, "txt": row["text"].encode(), "json": canonical_json(told).encode()}


def _told(row: Row, path: str) -> Row:
    """What the manifests say of a clip."""
    same = {name: row[name] for name in ("key", "split", "text", "speaker", "seconds", "sample_rate")}
    return same | {"path": path, "tags": rename_tags(json.loads(row["tags"]))}


def _export_text(text: Artifact, out: str) -> Counter[str]:
    """Documents as members of tars, long ones in parts that end with a line: read in order they are the text again."""
    counts, parts = Counter[str](), _documents(text)
    pending, number = next(parts, None), 0
    while pending:
        place = storage.join(out, f"{number:06}.tar")
        with storage.stage_file(place) as local, local.open("wb") as file, tar.SampleWriter(file) as target:
            while pending and target.size < TAR_BYTES:
                key, source, content = pending
                target.write(key, {TEXT: content.encode(), "json": canonical_json({"source": source}).encode()})
                counts["parts"] += 1
                counts["characters"] += len(content)
                pending = next(parts, None)
        number += 1
    return counts


def _documents(text: Artifact) -> Iterator[tuple[str, str, str]]:
    """Key, source and content of each part of each document."""
    for document, (source, pieces) in enumerate(groupby(pieces_with_source(text), lambda piece: piece[0])):
        held, size, part = list[str](), 0, 0
        for _, piece in pieces:
            end = piece.rfind("\n") + 1 if size >= DOCUMENT_BYTES else 0
            if end:
                yield f"{document:09}-{part:06}", source, "".join([*held, piece[:end]])
                held, size, part = [], 0, part + 1
            held.append(piece[end:])
            size += len(held[-1])
        if size:
            yield f"{document:09}-{part:06}", source, "".join(held)
