"""Every file exactly once: whatever is killed, what is written is the same, and what is committed is not read again."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archives.conftest import contents, rows, run, store_at
from archives.text_job import COMPANY, DEADLY, TextJob, register

from infra.errors import UserError
from tasks.archives.plan_work import plan_work
from tasks.archives.work_list import PartConfig
from tasks.steps.in_process import run_in_process

DRIVER = """
import sys
from archives.conftest import run
from archives.text_job import TextJob
from tasks.archives.plan_work import plan_work
from tasks.archives.work_list import PartConfig
from tasks.steps.in_process import run_in_process
with run_in_process():
    run(TextJob(0.2, sys.argv[3]), sys.argv[1], sys.argv[2])
"""


@pytest.fixture
def expected(artifact_root, texts, tmp_path):
    """What a run comes to that nothing interrupts."""
    with run_in_process():
        run(TextJob(), texts, tmp_path / "whole")
    return contents(tmp_path / "whole")


def drive(*arguments):
    return subprocess.Popen([sys.executable, "-c", DRIVER, *map(str, arguments)], env=os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip


def test_killed_at_any_time(expected, texts, tmp_path):
    """The driver, by force, when a part more is there; what is committed is gone from the source."""
    out, log = tmp_path / "out", tmp_path / "log"
    for wanted in (1, 2, 3):
        driver = drive(texts, out, log)
        while len(list(out.glob("parts/*.json"))) < wanted:
            time.sleep(0.01)
            assert driver.poll() is None
        driver.kill()
        driver.wait()
        assert not (out / "manifest.json").exists()
        for note in store_at(out).notes():
            for name in note["files"]:
                if name.startswith("txt/"):
                    Path((out / name).read_text()).unlink(missing_ok=True)
    assert drive(texts, out, log).wait() == 0
    assert contents(out) == expected
    opened = log.read_text().splitlines()
    assert len(opened) >= 10 == len(set(opened))


def test_what_an_interrupted_part_has_left_is_gone(expected, texts, tmp_path):
    out = tmp_path / "out"
    stale = out / "lines" / "00001-0123456789abcdef.parquet"
    with run_in_process():
        store = store_at(out)
        store.open()
        stale.parent.mkdir()
        stale.write_bytes(b"of a part that was done otherwise, before a file changed")
        (out / "lines" / ".partial-xyz").write_bytes(b"half")
        run(TextJob(), texts, out)
    assert contents(out) == expected
    assert not (out / "lines" / ".partial-xyz").exists()


def test_only_what_is_new(expected, texts, tmp_path):
    """Later runs append parts, and those of before stay as they are."""
    out = tmp_path / "out"
    with run_in_process():
        run(TextJob(), texts, out)
        assert run(TextJob(log=str(tmp_path / "log")), texts, out)["parts_done"] == 0
        assert contents(out) == expected
        (texts / "new.txt").write_text("a new line\n")
        (texts / "0" / "0.txt").write_text("another line\n")
        told = run(TextJob(log=str(tmp_path / "log")), texts, out)
    assert (told["parts_done"], told["counts"]["files"]) == (1, 12)
    assert (tmp_path / "log").read_text().splitlines() == [str(texts / "0" / "0.txt"), str(texts / "new.txt")]
    now = contents(out)
    assert {name: now[name] for name in expected if name != "manifest.json"} == {
        name: data for name, data in expected.items() if name != "manifest.json"
    }
    assert (out / "txt" / "0" / "0.txt~2").exists(), "what was written of the old one stays"


def test_another_run_that_has_not_ended_is_finished_first(artifact_root, texts, tmp_path):
    store = store_at(tmp_path / "out")
    store.open()
    plan_work(store, str(texts), {"txt"}, PartConfig()).freeze(store)
    with pytest.raises(UserError, match="a run on .*/in has not ended; run that command again first"):
        plan_work(store, str(texts / "0"), {"txt"}, PartConfig())


@pytest.fixture
def ray_session(artifact_root, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    register()


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_on_ray_with_files_that_kill(ray_session, expected, texts, tmp_path):
    """A worker that dies by chance changes nothing; a file that kills it each time is in the quarantine, alone."""
    out = tmp_path / "ray"
    run(TextJob(fail_once=str(tmp_path / "died")), texts, out, workers=2)
    assert (tmp_path / "died").exists()
    assert contents(out) == expected

    for name, line in {"1/a": COMPANY, "1/b": "innocent", "1/c": DEADLY["decode"], "2/d": DEADLY["read"]}.items():
        (texts / f"{name}.txt").write_text(f"{line}\n")
    told = run(TextJob(), texts, out, workers=2)
    assert (told["counts"]["files"], told["counts"]["quarantined"]) == (14, 2)
    failed = {row["file"].removeprefix(f"{texts}/"): row["reason"] for row in rows(out, "quarantine")}
    assert failed == dict.fromkeys(("1/c.txt", "2/d.txt"), "the process that worked on it died")
    written = [tuple(row.values()) for row in rows(out, "lines")]
    assert len(written) == len(set(written)) == told["counts"]["lines"] == 25
    assert {(f"{texts}/1/a.txt", COMPANY), (f"{texts}/1/b.txt", "INNOCENT")} <= set(written)
