"""Folders of small text files, and runs over them."""

import pytest

from infra import storage
from tasks.archives.output_store import OF_A_RUN, OutputStore
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.work_list import PartConfig
from tasks.steps.parquet_io import from_parquet

IDENTITY = {"kind": "lines", "model": "none"}
SMALL = PartConfig(max_files=3)


@pytest.fixture
def texts(tmp_path):
    """Ten files of some lines each."""
    for k in range(10):
        path = tmp_path / "in" / f"{k % 3}" / f"{k}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"line {i} of {k}\n" for i in range(1 + k % 4)))
    return tmp_path / "in"


def store_at(place, **identity):
    return OutputStore(str(place), IDENTITY | identity)


def run(job, source, output, workers=1):
    """The manifest."""
    store = store_at(output)
    with store.hold():
        store.open()
        work = plan_work(store, str(source), {"txt"}, SMALL)
        work.freeze(store)
        summary = ArchiveRun(job, store, workers)(list(work.parts.values()), 1.0)
        return store.finish() | {"parts_done": summary.parts}


def contents(output):
    """Every file that is a result."""
    names = (name for name in storage.list_files(str(output)) if name not in OF_A_RUN and not name.startswith("."))
    return {name: storage.read(storage.join(str(output), name)) for name in names}


def rows(output, table):
    return [row for data in store_at(output).tables(table) for row in from_parquet(data).to_pylist()]
