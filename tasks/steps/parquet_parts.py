"""What actors make of shards: a Parquet part for each; one that an earlier, killed run finished is not made again."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from infra.artifact_store import Artifact, Draft
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.ray_jobs import Job, run_jobs


def write_parts(out: Draft, shards: list[str], label: str, actor: Callable[..., Any], arguments: tuple) -> Artifact:
    """The draft with a part for each shard. actor: a class that puts the part of the job's `shard`, as for run_jobs."""
    done = out.finished()
    jobs: list[Job] = [{"shard": shard} for shard in shards if _name(shard) not in done]
    for _ in run_jobs(actor, jobs, label, arguments):
        pass
    return out.commit(map(_name, shards))


def write_part(out: Draft, shard: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    out.put(_name(shard), to_parquet(to_table(rows, schema)))


def read_parts(made: Artifact) -> list[dict[str, Any]]:
    """The rows of every part, ordered by key."""
    rows = (row for name in made.names(".parquet") for row in from_parquet(made.read(name)).to_pylist())
    return sorted(rows, key=lambda row: row["key"])


def _name(shard: str) -> str:
    return f"{shard.removesuffix('.tar')}.parquet"
