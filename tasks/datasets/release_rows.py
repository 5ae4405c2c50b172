"""The rows of a release, each clip by the SHA-256 of its bytes; a clip that is known by its place is not read for it.

A place is a file's name in the corpus, its size, and its time (on S3 its ETag, which follows the content); inside an
archive nothing tells of a change, so that its clips are hashed. Places are remembered beside the data set and no part
of it: the same release gives the same data set wherever and whenever it was copied to.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa

from infra import storage
from tasks.corpora.corpus_files import CorpusFiles, Location
from tasks.corpora.utterance import Reject, Utterance
from tasks.ingest.ingest_shard import deserialize_clips, serialize_clips
from tasks.ingest.shard_format import canonical_json
from tasks.steps.parquet_io import from_parquet, to_parquet
from tasks.steps.pipeline_step import Resources
from tasks.steps.ray_jobs import Job, run_jobs

RELEASE_ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ("source", "side", "text", "speaker", "tags", "clip_sha256")),
        ("divided", pa.bool_()),
    ]
)
PLACES = pa.schema([("place", pa.string()), ("clip_sha256", pa.string())])
RANGE_BYTES = 8 << 20
JOB_CLIPS, JOB_BYTES = 2000, 256 << 20

Row = dict[str, str | bool]


class ListedRows(NamedTuple):
    """rows: as RELEASE_ROWS has them. rejects: what cannot be one. unplaced: those that are not known by their place,
    which may be new, as the reader gave them, by their source. places: the SHA-256 of clips by their places.
    """

    rows: list[Row]
    rejects: list[Reject]
    unplaced: dict[str, Utterance]
    places: dict[str, str]


class ClipPlaces(Resources):
    """The SHA-256 of a data set's clips by their places. uri: of the file of them, without which clips are read."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def read(self) -> dict[str, str]:
        try:
            table = from_parquet(storage.read(self.uri))
        except FileNotFoundError:
            return {}
        return dict(zip(*(table[name].to_pylist() for name in PLACES.names), strict=True))

    def write(self, places: dict[str, str]) -> None:
        storage.write(self.uri, to_parquet(pa.table([[*places], [*places.values()]], PLACES)))


def list_rows(rows: Iterable[Utterance | Reject], source: CorpusFiles, known: dict[str, str]) -> ListedRows:
    """known: the SHA-256 of clips by their places."""
    found: list[Row] = []
    rejects: list[Reject] = []
    unplaced = dict[str, Utterance]()
    unread: list[tuple[Row, list[Location], Utterance]] = []
    placed = dict[str, str]()
    for row in rows:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        places = [] if row.content else [source.locate(clip) for clip in row.clips]
        if None in places:
            rejects.append(Reject(row.split, row.source, "read", "missing clip", row.clips[places.index(None)]))
            continue
        if row.source in placed:
            rejects.append(Reject(row.split, row.source, "read", "duplicate clip", "named twice"))
            continue
        told = _told(row)
        placed[row.source] = _place(row, source)
        told["clip_sha256"] = _text_digest(row.content) if row.content else known.get(placed[row.source], "")
        found.append(told)
        if row.content or not told["clip_sha256"]:
            unplaced[row.source] = row
        if not told["clip_sha256"]:
            unread.append((told, [place for place in places if place], row))
    asked = {place for _, places, _ in unread for place in places}
    digests = source.digests | hash_clips(asked - source.digests.keys())
    for told, places, row in unread:
        parts = [digests[place] for place in places]
        told["clip_sha256"] = _whole_digest(row, parts) if all(parts) else ""
        if not all(parts):
            rejects.append(Reject(row.split, row.source, "read", "missing clip", "it was there when the run began"))
    found = [row for row in found if row["clip_sha256"]]
    clips = {placed[str(row["source"])]: str(row["clip_sha256"]) for row in found}
    return ListedRows(found, rejects, unplaced, {place: clip for place, clip in clips.items() if place})


def _told(row: Utterance) -> Row:
    same = {"source": row.source, "side": row.split, "text": row.text.strip(), "speaker": row.speaker}
    return {**same, "tags": canonical_json(dict(row.tags)), "divided": not row.split}


def _place(row: Utterance, source: CorpusFiles) -> str:
    """ "" where a file's version is not known."""
    if row.content:
        return ""
    files = []
    for clip in row.clips:
        version, place = source.version(clip), source.locate(clip)
        if not version or not place:
            return ""
        files.append((clip, place[2], version))
    return hashlib.sha256(json.dumps([files, row.pauses_ms, row.span, row.channels]).encode()).hexdigest()


def _whole_digest(row: Utterance, parts: list[str]) -> str:
    """Of a clip its own; of a piece, of joined clips and of chosen channels that of what they are made of."""
    if len(parts) == 1 and row.span is None and not row.channels:
        return parts[0]
    return _text_digest(json.dumps([parts, row.pauses_ms, row.span, row.channels]))


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hash_clips(places: set[Location]) -> dict[Location, str]:
    """The SHA-256 of each, "" of one that is gone."""
    groups = list(_grouped(sorted(places)))
    jobs: list[Job] = [{"number": i, "clips": serialize_clips((*p, "") for p in g)} for i, g in enumerate(groups)]
    found: dict[Location, str] = {}
    for done in run_jobs(hash_group, jobs, "hash"):
        found |= zip(groups[done["number"]], done["digests"].split(","), strict=True)
    return found


def hash_group(job: Job) -> Job:
    digests = [_file_digest(clip[:3]) for clip in deserialize_clips(job["clips"])]
    return {"number": job["number"], "digests": ",".join(digests)}


def _file_digest(place: Location) -> str:
    uri, offset, size = place
    digest = hashlib.sha256()
    try:
        for at in range(0, size, RANGE_BYTES):
            digest.update(storage.read(uri, offset + at, min(RANGE_BYTES, size - at)))
    except (FileNotFoundError, PermissionError):
        return ""
    return digest.hexdigest()


def _grouped(places: list[Location]) -> Iterator[list[Location]]:
    held, size = list[Location](), 0
    for place in places:
        if held and (size + place[2] > JOB_BYTES or len(held) >= JOB_CLIPS):
            yield held
            held, size = [], 0
        held.append(place)
        size += place[2]
    if held:
        yield held
