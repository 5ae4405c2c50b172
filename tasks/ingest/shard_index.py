"""The index of shards and of feature shards: which rows a split has, and in which shards they lie.

An index may name shards of other artifacts, as those of a data set's versions do: KIND/DIGEST/NAME.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact


def read_index(data: Artifact, split: str, shard: str = "") -> pa.Table:
    """The rows of features, or of shards, of one split: of one shard, or of all in their order."""
    mine = [("split", "==", split)] + ([("shard", "==", shard)] if shard else [])
    return pq.read_table(data.file("index.parquet"), filters=mine)


def list_shards(data: Artifact, split: str) -> list[str]:
    """The shards that a split has rows in."""
    return sorted(set(read_index(data, split)["shard"].to_pylist()))


def shard_file(data: Artifact, shard: str) -> Path:
    """A local path to read a shard at, by its name in the index."""
    if "/" not in shard:
        return data.file(shard)
    kind, digest, name = shard.split("/", 2)
    return Artifact(kind, digest).file(name)


def shard_reference(data: Artifact, shard: str) -> str:
    """What the index of another artifact calls a shard of this one."""
    return f"{data.kind}/{data.digest}/{shard}"


def read_shard_rows(data: Artifact, shard: str) -> list[dict[str, Any]]:
    """The rows of one shard, of all splits, in their order."""
    return pq.read_table(data.file("index.parquet"), filters=[("shard", "==", shard)]).to_pylist()
