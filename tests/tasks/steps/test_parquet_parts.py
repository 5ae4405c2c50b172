"""A part for each shard, those of an earlier run kept."""

from functools import partial

import pyarrow as pa
import pytest

from infra.artifact_store import open_draft
from tasks.steps.parquet_parts import read_parts, write_parts

SCHEMA = pa.schema({"key": pa.string(), "by": pa.string()})


class Maker:
    """Makes two rows of a shard, unless it is to be killed there."""

    def __init__(self, name, fatal):
        self.name, self.fatal = name, fatal

    def __call__(self, job):
        if job["shard"] == self.fatal:
            raise KeyboardInterrupt
        return [{"key": f"{key}-{job['shard']}", "by": self.name} for key in ("b", "a")]


def test_a_killed_run_is_gone_on_with(in_this_process):
    out, shards = open_draft("rows", "key"), ["1.tar", "2.tar", "3.tar"]
    with pytest.raises(KeyboardInterrupt):
        write_parts(out, shards, "make", SCHEMA, partial(Maker, "first", "2.tar"))
    made = write_parts(out, shards, "make", SCHEMA, partial(Maker, "second", ""))
    assert made.names() == ["1.parquet", "2.parquet", "3.parquet"]
    found = [(row["key"], row["by"]) for row in read_parts(made)]
    by = {"1.tar": "first", "2.tar": "second", "3.tar": "second"}
    assert found == [(f"{key}-{shard}", by[shard]) for key in "ab" for shard in shards]
