"""A version of a data set and an ingested release to the next version: a manifest, for which no clip is read."""

from typing import Any

import pyarrow.parquet as pq

from infra.artifact_store import Artifact, new_draft
from tasks.datasets.ingest_release import ROWS
from tasks.datasets.release_difference import Difference, compare_release, file_name
from tasks.datasets.version_index import (
    CHANGES,
    KIND,
    VERSION_INDEX,
    VERSION_QUARANTINE,
    Row,
    describe_version,
    read_quarantine,
    read_version,
    summarize_splits,
)
from tasks.ingest.shard_index import shard_reference
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.pipeline_step import step


@step
def add_release(parent: Artifact | None, taken: Artifact) -> Artifact:
    """The version after `parent` with what `ingest_release` took in; `parent` itself where that changes nothing."""
    before = read_version(parent) if parent else []
    about = describe_version(parent) if parent else {"number": 0, "releases": []}
    told, release = taken.read_json("summary.json"), from_parquet(taken.read(ROWS)).to_pylist()
    clips = {row["source"]: row["clip_sha256"] for row in release}
    index = pq.read_table(taken.file("index.parquet")).to_pylist()
    stored = {clips[row["source"]]: row | {"shard": shard_reference(taken, row["shard"])} for row in index}
    rejects = pq.read_table(taken.file("quarantine.parquet")).to_pylist()
    named = {file_name(row["source"]) for row in rejects}
    found = compare_release(before, release, stored, told, named)
    if parent and not found.changes:
        return parent
    quarantine = _quarantine(read_quarantine(parent) if parent else [], rejects, release, told)
    retracted = _retracted_speakers(before, found)
    version = {
        "parent": parent.digest if parent else "",
        "number": about["number"] + 1,
        "release": told["release"],
        "releases": [*about["releases"], {name: told["release"][name] for name in ("name", "date")}],
        "carved": told["carved"],
        "division": told["division"],
        "changes": found.counts,
        "retracted_speakers": retracted,
    }
    return write_version(version, found, quarantine)


def write_version(version: dict[str, Any], found: Difference, quarantine: list[Row]) -> Artifact:
    """version: `version.json` without what the rows say."""
    splits = summarize_splits(found.rows, quarantine)
    version |= {"splits": {split: told["kept"] for split, told in splits.items()}}
    version |= {"shards": sorted({row["shard"].split("/")[1] for row in found.rows})}
    with new_draft(KIND) as out:
        out.put("index.parquet", to_parquet(to_table(found.rows, VERSION_INDEX)))
        out.put("changes.parquet", to_parquet(to_table(found.changes, CHANGES)))
        out.put("quarantine.parquet", to_parquet(to_table(quarantine, VERSION_QUARANTINE)))
        out.put_json("version.json", version)
        out.put_json("summary.json", {"splits": splits, "release": version["release"]})
    return out.result()


def _quarantine(before: list[Row], rejects: list[Row], release: list[Row], told: dict[str, Any]) -> list[Row]:
    """What could not be used before, as far as it may still be there, and now."""
    rows = {row["source"]: row for row in release}
    there, delta = {row["clip_sha256"] for row in release}, told["release"]["delta"]
    kept = [row for row in before if row["clip_sha256"] and (delta or row["clip_sha256"] in there)]
    clips = (rows.get(reject["source"], {}).get("clip_sha256", "") for reject in rejects)
    return [*kept, *(reject | {"clip_sha256": clip} for reject, clip in zip(rejects, clips, strict=True))]


def _retracted_speakers(before: list[Row], found: Difference) -> list[str]:
    """Of whom every clip is gone."""
    left = {row["speaker"] for row in found.rows}
    return sorted({row["speaker"] for row in before} - left - {""})
