"""A version of a data set: a small manifest over the shards of all its releases, and what the last release changed.

    index.parquet       a row a clip: what shards have of it, as its last release tells it, and where it lies
    changes.parquet     what the release changed, clip by clip
    quarantine.parquet  clips that could not be used
    version.json        parent, releases, counts, the speakers that withdrew
    summary.json        as of shards

It is read as shards are; the shards of its index are those of other artifacts (tasks/ingest/shard_index.py).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.corpora.utterance import QUARANTINE, SPLITS
from tasks.ingest.shard_format import INDEX

KIND = "dataset"
VERSION_INDEX = pa.schema(
    [
        *INDEX,  # split: "" for a row that is left out
        ("clip_sha256", pa.string()),  # of the clip's bytes in the release
        ("example_sha256", pa.string()),  # of that and the transcript
        ("side", pa.string()),  # the split that the release, or our division, says
        ("divided", pa.bool_()),  # whether our division says it
        ("aliases", pa.list_(pa.string())),  # other files with the same bytes
        ("release", pa.string()),  # that brought the clip
    ]
)
VERSION_QUARANTINE = pa.schema([*QUARANTINE, ("clip_sha256", pa.string())])
CHANGES = pa.schema(
    [(name, pa.string()) for name in ("change", "clip_sha256", "source", "speaker", "split", "before", "after")]
)
NEW, TEXT_CHANGED, MOVED, VOTES_CHANGED, DETAILS_CHANGED, RETRACTED, DUPLICATE = KINDS_OF_CHANGE = (
    "new",
    "text changed",
    "moved",
    "votes changed",
    "details changed",
    "retracted",
    "duplicate",
)

Row = dict[str, Any]


def example_sha256(clip_sha256: str, text: str) -> str:
    return hashlib.sha256(f"{clip_sha256}\n{text}".encode()).hexdigest()


def read_version(version: Artifact, columns: list[str] | None = None) -> list[Row]:
    """The rows of a version's index, with these columns or all."""
    return pq.read_table(version.file("index.parquet"), columns=columns, schema=VERSION_INDEX).to_pylist()


def read_changes(version: Artifact) -> list[Row]:
    return pq.read_table(version.file("changes.parquet")).to_pylist()


def read_quarantine(version: Artifact) -> list[Row]:
    return pq.read_table(version.file("quarantine.parquet")).to_pylist()


def describe_version(version: Artifact) -> Row:
    """`version.json`. Raises UserError for another kind of artifact."""
    if version.kind != KIND:
        raise UserError(f"{version} is no version of a data set; scriptorium dataset log NAME lists what there is")
    return version.read_json("version.json")


def list_versions(version: Artifact) -> Iterator[Artifact]:
    """It and those before it, the newest first."""
    while True:
        yield version
        parent = describe_version(version)["parent"]
        if not parent:
            return
        version = Artifact(KIND, parent)


def retracted_clips(version: Artifact) -> dict[str, str]:
    """The clips that releases up to this version have withdrawn, and whose they were."""
    rows = (row for one in reversed([*list_versions(version)]) for row in read_changes(one))
    found = dict[str, str]()
    for row in rows:
        if row["change"] == RETRACTED:
            found[row["clip_sha256"]] = row["speaker"]
        else:
            found.pop(row["clip_sha256"], None)  # it came back
    return found


def shards_of(rows: list[Row]) -> list[Artifact]:
    """The artifacts that an index points into, the oldest first."""
    found = dict.fromkeys(tuple(row["shard"].split("/", 2)[:2]) for row in rows)
    return [Artifact(kind, digest) for kind, digest in found]


def summarize_splits(rows: list[Row], quarantine: list[Row]) -> dict[str, Row]:
    """What the summary of shards says of each split that has a row."""
    told: dict[str, Row] = {}
    for split in SPLITS:
        kept = [row for row in rows if row["split"] == split]
        rejected = Counter(row["reason"] for row in quarantine if row["split"] == split)
        if kept or rejected:
            told[split] = {
                "rows": len(kept) + rejected.total(),
                "kept": len(kept),
                "rejected": dict(rejected.most_common()),
                "flagged": dict(Counter(row["flag"] for row in kept if row["flag"]).most_common()),
                "seconds": round(sum(row["seconds"] for row in kept), 3),
                "speakers": len({row["speaker"] for row in kept} - {""}),
            }
    return told


def votes(tags: str) -> tuple[str, str]:
    """Up and down votes of a row's tags."""
    told: Mapping[str, str] = json.loads(tags)
    return told.get("up_votes", ""), told.get("down_votes", "")


def locales(rows: list[Row]) -> set[str]:
    """What the rows say of their language."""
    return {json.loads(tags).get("locale", "") for tags in {row["tags"] for row in rows}} - {""}
