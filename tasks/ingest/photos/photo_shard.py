"""Shards of photos: WebDataset tars with the original bytes, `<key>.jpg` and `<key>.json` (captions, boxes), and an
index. One job of ingest makes one: every photo is opened and decoded once.
"""

import hashlib
import io
import json
import tarfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa

from infra import storage
from infra.artifact_store import Draft
from infra.errors import explain_full_disk
from tasks.corpora.utterance import QUARANTINE
from tasks.images.perceptual_hash import hash_thumbnails, hash_to_hex, make_thumbnail
from tasks.images.photo import BadPhoto, decode_photo
from tasks.ingest import tar
from tasks.ingest.shard_jobs import JOBS
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.ray_jobs import Job

BOX = pa.struct([("label", pa.string()), *((corner, pa.float64()) for corner in ("x0", "y0", "x1", "y1"))])
INDEX = pa.schema(
    [
        ("key", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),  # a file of the artifact
        ("offset", pa.int64()),  # of the sample's region in it
        ("size", pa.int64()),
        ("source", pa.string()),
        ("sha256", pa.string()),
        ("extension", pa.string()),  # of the format that it really has
        ("width", pa.int32()),  # of the upright photo, in pixels
        ("height", pa.int32()),
        ("captions", pa.list_(pa.string())),
        ("phash", pa.string()),  # 64 hexadecimal digits (tasks/images/perceptual_hash.py)
        ("boxes", pa.list_(BOX)),  # none where nothing is known of objects
    ]
)
PART = INDEX.append(pa.field("thumbnail", pa.binary()))  # until the leak check
JOB = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "split", "source")),
        ("captions", pa.list_(pa.string())),
        ("boxes", pa.list_(BOX)),
        ("uri", pa.binary()),  # which need not be Unicode
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)
KNOWN = ("captions", "boxes", "split", "width", "height", "source", "sha256")  # what the .json says
LARGEST_BYTES = 1 << 28  # of a file: what is larger is refused unread
AHEAD = 8  # photos that are fetched from S3 before they are needed

canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


class PhotoSample(NamedTuple):
    """One photo of a shard with what is known of it. boxes: dicts of label, x0, y0, x1, y1."""

    key: str
    extension: str
    data: bytes
    captions: list[str]
    boxes: list[dict[str, Any]]
    split: str
    width: int
    height: int
    source: str
    sha256: str


def read_photo_sample(region: bytes) -> PhotoSample:
    """The sample in a region of a shard, as the index gives it. Raises ValueError for any other bytes."""
    try:
        photo, known = sorted(tar.members(io.BytesIO(region)), key=lambda member: member[0].endswith(".json"))
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"not the region of a photo: {error}") from error
    key, _, extension = photo[0].partition(".")
    return PhotoSample(key=key, extension=extension, data=photo[1], **json.loads(known[1]))


def ingest_photo_shard(job: Job) -> Job:
    """The shard `name` of the draft at `out`; its index comes last and marks the job as finished."""
    out, name = Draft("shards", job["out"]), job["name"]
    index, rejects = list[dict[str, Any]](), list[dict[str, Any]]()
    with explain_full_disk(f"{name}.tar"):
        rows = from_parquet(out.read(JOBS, job["offset"], job["size"])).to_pylist()
        with out.writing(f"{name}.tar") as file, tar.SampleWriter(file) as shard:
            for row, data in _contents(rows):
                sha256 = hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else ""
                try:
                    if isinstance(data, BadPhoto):
                        raise data
                    known = _look(row, data, job["max_pixels"]) | {"sha256": sha256}
                except BadPhoto as bad:
                    told = {"source": row["source"], "split": row["split"], "sha256": sha256, "stage": "decode"}
                    rejects.append(told | {"reason": bad.reason, "detail": bad.detail})
                    continue
                told = canonical_json({column: known[column] for column in KNOWN}).encode()
                offset, size = shard.write(row["key"], {known["extension"]: data, "json": told})
                index.append(known | {"shard": f"{name}.tar", "offset": offset, "size": size})
        if not index:
            out.remove(f"{name}.tar")
        if rejects:
            out.put(f"parts/{name}.rejects.parquet", to_parquet(to_table(rejects, QUARANTINE)))
        out.put(f"parts/{name}.index.parquet", to_parquet(to_table(index, PART)))
    return {"kept": len(index), "rejected": len(rejects)}


def _look(row: dict[str, Any], data: bytes, limit: int) -> dict[str, Any]:
    """What the index says of a photo. Raises BadPhoto."""
    photo, extension = decode_photo(data, limit)
    thumbnail = make_thumbnail(photo)
    seen = {"width": photo.width, "height": photo.height, "extension": extension, "thumbnail": thumbnail.tobytes()}
    return row | seen | {"phash": hash_to_hex(hash_thumbnails(thumbnail))}


def _contents(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], bytes | BadPhoto]]:
    """Each row with its photo's bytes, or why there are none; those of S3 are fetched ahead."""
    waiting = deque[tuple[dict[str, Any], Future[bytes | BadPhoto]]]()
    with ThreadPoolExecutor(AHEAD) as pool:
        for row in rows:
            uri = row["uri"].decode(errors="surrogateescape")
            if not storage.is_s3(uri):
                yield row, _read(uri, row["offset"], row["size"])
                continue
            waiting.append((row, pool.submit(_read, uri, row["offset"], row["size"])))
            if len(waiting) >= AHEAD:
                first, coming = waiting.popleft()
                yield first, coming.result()
        while waiting:
            first, coming = waiting.popleft()
            yield first, coming.result()


def _read(uri: str, offset: int, size: int) -> bytes | BadPhoto:
    if size > LARGEST_BYTES:
        return BadPhoto("too large a file", f"{size >> 20} MB")
    try:
        return storage.read(uri, offset, size)
    except FileNotFoundError:
        return BadPhoto("missing photo", "it was there when the run began")
    except PermissionError:
        return BadPhoto("unreadable photo", "permission denied")
