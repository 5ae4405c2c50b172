"""One job of ingest: a list of utterances becomes a shard, the rows of its index, and rejects.

Every clip is opened and decoded once, one at a time, and its original bytes are kept. Only joined clips, pieces of
longer recordings and chosen channels are new: 16-bit WAV. A row that is a text brings its bytes with it.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from infra import storage
from infra.artifact_store import Draft
from infra.errors import explain_full_disk
from tasks.audio.audio_io import BadClip, decode_clip, encode_wav, join_clips, piece_bounds
from tasks.audio.recording import Recording
from tasks.corpora.corpus_files import Location
from tasks.corpora.utterance import QUARANTINE
from tasks.ingest import tar
from tasks.ingest.pair_filter import PairFilter
from tasks.ingest.shard_format import INDEX, TEXT, Sample, write_sample
from tasks.ingest.shard_jobs import JOBS, NO_SPAN
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.ray_jobs import Job

LARGEST_BYTES = 1 << 28  # of one clip: what is larger is refused unread
AHEAD, AHEAD_BYTES = 8, 4 << 20  # rows whose clips, none of them larger, are fetched from S3 before they are needed
NO_SOUND = ("mfc", "raw")  # without a header, which a recording has to have
TEXT_COLUMNS = ("key", "split", "text", "speaker", "tags", "source")
JOB = pa.schema([(name, pa.string()) for name in (*TEXT_COLUMNS, "pauses_ms", "span", "channels", "content")])
JOB = JOB.append(pa.field("clips", pa.binary()))  # their places, which need not be Unicode

Fetched = dict[Location, Future[bytes]]
Clip = tuple[str, int, int, str]  # URI, offset, size, extension


def serialize_clips(clips: Iterable[Clip]) -> bytes:
    """Clips as one field of a job's table; no name has a NUL in it."""
    fields = [f"{uri}\0{offset}\0{size}\0{extension}" for uri, offset, size, extension in clips]
    return "\0".join(fields).encode(errors="surrogateescape")


def deserialize_clips(data: bytes) -> list[Clip]:
    fields = data.decode(errors="surrogateescape").split("\0")
    return [(fields[i], int(fields[i + 1]), int(fields[i + 2]), fields[i + 3]) for i in range(0, len(fields) - 3, 4)]


def ingest_shard(job: Job) -> Job:
    """The shard `name` of the draft at `out`; its index comes last and marks the job as finished."""
    out, name = Draft("shards", job["out"]), job["name"]
    index: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    with explain_full_disk(f"{name}.tar"):
        rows = from_parquet(out.read(JOBS, job["offset"], job["size"])).to_pylist()
        with out.writing(f"{name}.tar") as file, tar.SampleWriter(file) as shard:
            cached = _LastClip()
            for row, cached.fetched in _fetched_ahead(rows):
                if sample := _sample(row, cached, job, rejects):
                    offset, size = write_sample(shard, sample)
                    place = {"shard": f"{name}.tar", "offset": offset, "size": size}
                    index.append(sample._asdict() | place | {"tags": row["tags"], "data": None, "flag": ""})
            cached.close()
        if not index:
            out.remove(f"{name}.tar")
        if rejects:
            out.put(f"parts/{name}.rejects.parquet", to_parquet(to_table(rejects, QUARANTINE)))
        out.put(f"parts/{name}.index.parquet", to_parquet(to_table(index, INDEX)))
    return {"kept": len(index), "rejected": len(rejects)}


def _fetched_ahead(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Fetched]]:
    """Each row with those of its clips that are on their way: a request to S3 takes longer than decoding its answer.
    Pieces are not among them, for their recording is read once for all.
    """
    waiting: deque[tuple[dict[str, Any], Fetched]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for row in rows:
            remote = row["span"] == NO_SPAN and b"s3://" in row["clips"]  # looked at before it is taken apart
            places = [clip[:3] for clip in deserialize_clips(row["clips"])] if remote else []
            small = [place for place in places if storage.is_s3(place[0]) and place[2] <= AHEAD_BYTES]
            waiting.append((row, {place: pool.submit(storage.read, *place) for place in small}))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting


class _LastClip:
    """The bytes read last: pieces of one long recording stand one after the other. fetched: what is on its way."""

    def __init__(self) -> None:
        self.place: tuple[Any, ...] = ()
        self.data, self.sha256 = b"", ""
        self.recording: tuple[tuple[int, ...], Recording] | None = None
        self.fetched: Fetched = {}

    def read(self, uri: str, offset: int, size: int) -> bytes:
        if (uri, offset, size) != self.place:
            if size > LARGEST_BYTES:
                raise BadClip("too long", f"{size >> 20} MB")
            self.close()
            self.place, self.data, self.sha256 = (), b"", ""  # two large clips are never held at once
            try:
                coming = self.fetched.get((uri, offset, size))
                self.data = coming.result() if coming else storage.read(uri, offset, size)
            except FileNotFoundError as error:
                raise BadClip("missing clip", "it was there when the run began") from error
            except PermissionError as error:
                raise BadClip("unreadable clip", "permission denied") from error
            self.place = (uri, offset, size)
        return self.data

    def cut(self, span: tuple[float, float], channels: tuple[int, ...], max_seconds: float) -> tuple[np.ndarray, int]:
        """A piece of what was read last."""
        if not self.recording or self.recording[0] != channels:
            self.close()
            self.recording = channels, Recording(self.data, channels)
        return self.recording[1].cut(span, max_seconds)

    def close(self) -> None:
        if self.recording:
            self.recording[1].close()
        self.recording = None

    def hash(self) -> str:
        """SHA-256 of what was read last, in hexadecimal; "" where nothing was."""
        if self.place and not self.sha256:
            self.sha256 = hashlib.sha256(self.data).hexdigest()
        return self.sha256


def _sample(row: dict[str, Any], cached: _LastClip, job: Job, rejects: list[dict[str, Any]]) -> Sample | None:
    cached_sha256 = ""
    try:
        data, extension, seconds, rate = _content(row, cached, job["max_seconds"])
        cached_sha256 = hashlib.sha256(data).hexdigest()
        if seconds < job["min_seconds"] and extension != TEXT:
            raise BadClip("too short", f"{seconds:.3f} s")
        if job["pairs"] and extension == TEXT and row["split"] == "train":
            reject_pair(PairFilter(**job["pairs"]), row)
    except BadClip as bad:
        sha256 = cached_sha256 or cached.hash()
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


def reject_pair(pairs: PairFilter, row: dict[str, Any]) -> None:
    """Raises BadClip for a pair that is not trained on."""
    if found := pairs.reason(row["content"], row["text"]):
        raise BadClip(*found)


def _content(row: dict[str, Any], cached: _LastClip, max_seconds: float) -> tuple[bytes, str, float, int]:
    """What the shard keeps: bytes, extension, seconds, sample rate."""
    if row["content"]:
        return row["content"].encode(), TEXT, 0.0, 0
    clips, span = deserialize_clips(row["clips"]), row["span"] != NO_SPAN and json.loads(row["span"])
    if len(clips) == 1:
        uri, offset, size, extension = clips[0]
        data, channels = cached.read(uri, offset, size), tuple(json.loads(row["channels"]))
        if span and extension not in NO_SOUND:
            wave, rate = cached.cut(tuple(span), channels, max_seconds)
        else:
            wave, rate = decode_clip(data, extension, max_seconds, scratch=True, channels=channels)
            if not span and not channels:
                return data, extension, len(wave) / rate, rate
            wave = wave[slice(*piece_bounds(tuple(span), len(wave), rate))] if span else wave
    else:
        decoded = [decode_clip(cached.read(*clip[:3]), clip[3], max_seconds) for clip in clips]
        rate = decoded[0][1]
        if any(other != rate for _, other in decoded):
            raise BadClip("mixed sample rates", ", ".join(str(other) for _, other in decoded))
        wave = join_clips([part for part, _ in decoded], tuple(json.loads(row["pauses_ms"])), rate)
    return encode_wav(wave, rate), "wav", len(wave) / rate, rate
