"""What actors make of shards: a Parquet part for each; one that an earlier, killed run finished is not made again."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from infra.artifact_store import Artifact, Draft
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.ray_jobs import Job, run_jobs

Row = dict[str, Any]


def write_parts(
    out: Draft, shards: list[str], label: str, schema: pa.Schema, actor: Callable[[], Callable[[Job], list[Row]]]
) -> Artifact:
    """The draft with a part of each shard's rows. actor: called once in each of Ray's actors, makes of a job, which
    names its `shard`, that one's rows.
    """
    done = out.finished()
    jobs: list[Job] = [{"shard": shard} for shard in shards if _name(shard) not in done]
    for _ in run_jobs(PartWriter, jobs, label, (actor, out, schema)):
        pass
    return out.commit(map(_name, shards))


class PartWriter:
    """In an actor: the rows of a shard become its part."""

    def __init__(self, actor: Callable[[], Callable[[Job], list[Row]]], out: Draft, schema: pa.Schema) -> None:
        self.rows_of, self.out, self.schema = actor(), out, schema

    def __call__(self, job: Job) -> Job:
        rows = self.rows_of(job)
        self.out.put(_name(job["shard"]), to_parquet(to_table(rows, self.schema)))
        return {"rows": len(rows)}


def read_parts(made: Artifact) -> list[Row]:
    """The rows of every part, ordered by key."""
    rows = (row for name in made.names(".parquet") for row in from_parquet(made.read(name)).to_pylist())
    return sorted(rows, key=lambda row: row["key"])


def _name(shard: str) -> str:
    return f"{shard.removesuffix('.tar')}.parquet"
