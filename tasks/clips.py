"""One job of ingest: a list of utterances becomes a shard, the rows of its index, and rejects.

Every clip is opened and decoded once, one at a time, and its original bytes are kept. Only joined clips and pieces of
longer recordings are new: 16-bit WAV.
"""

import errno
import hashlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.problem import Problem
from infra.store import Draft
from tasks import tar
from tasks.audio import BadClip, cut, decode, encode_wav, join
from tasks.parallel import Job
from tasks.shards import INDEX, QUARANTINE, Sample, add

LARGEST_BYTES = 1 << 28  # of one clip: what is larger is refused unread
TEXT_COLUMNS = ("key", "split", "text", "speaker", "tags", "source")
JOB = pa.schema([(name, pa.string()) for name in (*TEXT_COLUMNS, "clips", "pauses_ms", "span")])


def take_in(job: Job) -> Job:
    """The shard `name` of the draft at `out`; its index comes last and marks the job as finished."""
    out, name = Draft("shards", job["out"]), job["name"]
    index: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    try:
        rows = pq.read_table(io.BytesIO(out.read(f"jobs/{name}.parquet"))).to_pylist()
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, name)
            with local.open("wb") as file:
                cached = _LastClip()
                for row in rows:
                    sample = _sample(row, cached, job, rejects)
                    if sample:
                        offset, size = add(file, sample)
                        index.append(_index_row(sample, f"{name}.tar", offset, size))
                file.write(tar.END)
            if index:
                out.put(f"{name}.tar", local)
        out.put(f"parts/{name}.rejects.parquet", parquet(rejects, QUARANTINE))
        out.put(f"parts/{name}.index.parquet", parquet(index, INDEX))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Problem(
                f"the disk is full while writing {name}.tar; make room and run the same command again"
            ) from error
        raise
    return {"kept": len(index), "rejected": len(rejects)}


def parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


class _LastClip:
    """The bytes read last: pieces of one long recording stand one after the other."""

    def __init__(self) -> None:
        self.place: tuple[Any, ...] = ()
        self.data = b""

    def read(self, uri: str, offset: int, size: int) -> bytes:
        if (uri, offset, size) != self.place:
            if size > LARGEST_BYTES:
                raise BadClip("too long", f"{size >> 20} MB")
            self.place, self.data = (), b""  # two clips are never held at once
            try:
                self.data = storage.read(uri, offset, size)
            except FileNotFoundError as error:
                raise BadClip("missing clip", "it was there when the run began") from error
            except PermissionError as error:
                raise BadClip("unreadable clip", "permission denied") from error
            self.place = (uri, offset, size)
        return self.data


def _sample(row: dict[str, Any], cached: _LastClip, job: Job, rejects: list[dict[str, Any]]) -> Sample | None:
    cached_sha256 = ""
    try:
        data, extension, wave, rate = _content(row, cached, job["max_seconds"])
        cached_sha256, seconds = hashlib.sha256(data).hexdigest(), len(wave) / rate
        if seconds < job["min_seconds"]:
            raise BadClip("too short", f"{seconds:.3f} s")
    except BadClip as bad:
        sha256 = cached_sha256 or (hashlib.sha256(cached.data).hexdigest() if cached.place else "")
        same = {"source": row["source"], "split": row["split"], "sha256": sha256}
        rejects.append(same | {"stage": "decode", "reason": bad.reason, "detail": bad.detail})
        return None
    return Sample(
        key=row["key"],
        extension=extension,
        data=data,
        text=row["text"],
        speaker=row["speaker"],
        split=row["split"],
        seconds=seconds,
        sample_rate=rate,
        source=row["source"],
        sha256=cached_sha256,
        tags=json.loads(row["tags"]),
    )


def _content(row: dict[str, Any], cached: _LastClip, max_seconds: float) -> tuple[bytes, str, np.ndarray, int]:
    """What the shard keeps: bytes, extension, samples, sample rate."""
    clips, span = json.loads(row["clips"]), json.loads(row["span"])
    if len(clips) == 1:
        uri, offset, size, extension = clips[0]
        data = cached.read(uri, offset, size)
        if not span:
            return data, extension, *decode(data, extension, max_seconds)
        wave, rate = decode(data, extension)
        wave = cut(wave, rate, tuple(span))
        if len(wave) > max_seconds * rate:
            raise BadClip("too long", f"{len(wave) / rate:.2f} s")
    else:
        decoded = [decode(cached.read(*clip[:3]), clip[3], max_seconds) for clip in clips]
        rate = decoded[0][1]
        if any(other != rate for _, other in decoded):
            raise BadClip("mixed sample rates", ", ".join(str(other) for _, other in decoded))
        wave = join([part for part, _ in decoded], tuple(json.loads(row["pauses_ms"])), rate)
    return encode_wav(wave, rate), "wav", wave, rate


def _index_row(sample: Sample, shard: str, offset: int, size: int) -> dict[str, Any]:
    known = {name: getattr(sample, name) for name in INDEX.names if hasattr(sample, name)}
    tags = json.dumps(sample.tags, sort_keys=True, ensure_ascii=False)
    return known | {"shard": shard, "offset": offset, "size": size, "tags": tags}
