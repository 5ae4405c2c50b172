"""An output on a disk and on S3: what is committed counts, whole; who may write there, and what it was made with."""

import errno
import os
import subprocess
import sys

import pytest
from archives.conftest import contents, run, store_at
from archives.text_job import TextJob
from s3_servers import BUCKET

from infra import storage
from infra.errors import UserError
from tasks.archives.output_store import PartResult, read_manifest
from tasks.steps.in_process import run_in_process

HOLD = """
import sys, time
from archives.conftest import store_at
with store_at(sys.argv[1]).hold():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_on_s3_the_same_bytes_as_on_a_disk(request, artifact_root, texts, tmp_path, monkeypatch, server):
    request.getfixturevalue(server).use(monkeypatch)
    place = f"s3://{BUCKET}/{tmp_path.name}-{server}"
    with run_in_process():
        run(TextJob(), texts, tmp_path / "out")
        told = run(TextJob(), texts, place)
        assert run(TextJob(log=str(tmp_path / "log")), texts, place)["parts_done"] == 0
    assert contents(place) == contents(tmp_path / "out")
    assert read_manifest(place) == {name: told[name] for name in told if name != "parts_done"}
    assert not (tmp_path / "log").exists()


def test_what_it_was_made_with(tmp_path):
    store_at(tmp_path / "out").open()
    store_at(tmp_path / "out").open()
    with pytest.raises(UserError, match=r"was made with another model \(none, not new\); give another --output"):
        store_at(tmp_path / "out", model="new").open()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match=r"holds mine.txt and no archive.json; give an empty --output"):
        store_at(tmp_path / "other").open()
    with pytest.raises(UserError, match="is, or lies in, a file"):
        store_at(tmp_path / "other" / "mine.txt").open()
    with pytest.raises(UserError, match="no finished output is there"):
        read_manifest(str(tmp_path / "out"))


def test_a_second_run_waits(tmp_path, capsys):
    """And goes on as soon as the first is dead."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, env=env)
    assert owner.stdout.readline() == b"held\n"
    waiting = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=env)  # fmt: skip
    line = waiting.stderr.readline().decode()
    assert f"{tmp_path}/out is being made by another run (process {owner.pid} on" in line
    owner.kill()
    assert waiting.stdout.readline() == b"held\n"
    waiting.kill()
    for process in (owner, waiting):
        process.wait()
        process.stdout.close()
    waiting.stderr.close()


def test_a_full_disk_is_one_line_and_nothing_counts(tmp_path, monkeypatch):
    store, write = store_at(tmp_path / "out"), storage.write
    store.open()

    def full(uri, data):
        if "/b/" in uri:
            raise OSError(errno.ENOSPC, "No space left on device", uri)
        write(uri, data)

    monkeypatch.setattr(storage, "write", full)
    result = PartResult({"a": b"1", "b": b"2"}, {"c/name.txt": b"3"}, {"files": 1.0})
    with pytest.raises(UserError, match="the disk is full while writing .*; make room and run the same command again"):
        store.commit(0, result)
    assert store.committed() == set()
    monkeypatch.undo()
    store.commit(0, result)
    assert list(store.tables("b")) == [b"2"]
    assert store.finish()["files"] == {"a": 1, "b": 1, "c": 1}


def test_what_others_put_there_stays(texts, tmp_path):
    """Recordings that were dropped into an output folder, a corrected text, what a file manager leaves."""
    out = tmp_path / "out"
    with run_in_process():
        run(TextJob(), texts, out)
        mine = [
            "incoming/new.txt",
            "notes.md",
            "txt/0/0.txt.corrected",
            *(f"{d}.DS_Store" for d in ("", "parts/", "lists/", "lines/")),
        ]
        for name in mine:
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text("mine\n")
        left = out / "lines" / "00000-0123456789abcdef.parquet"
        left.write_bytes(b"of a try that was killed")
        told = run(TextJob(), out / "incoming", out)
    assert told["counts"]["files"] == 11
    assert all((out / name).read_text() == "mine\n" for name in mine)
    assert not left.exists()


@pytest.mark.parametrize(("name", "content", "says"), [
    ("lists/*", b"junk", "Parquet"),
    ("lists/*", b"", "Parquet"),
    ("parts/00000.json", b"junk", "not readable as JSON"),
    ("parts/00000.json", b"[]", "not the note of a part; remove it and run the same command again"),
    ("parts/00000.json", b'{"part": 0, "files": [], "counts": {}}', "not the note of a part"),
    ("lines/00000*", b"junk", "gone or damaged; remove parts/00000.json there and run the same"),
    ("lines/00000*", None, "gone or damaged; remove parts/00000.json there and run the same"),
    ("archive.json", b"[]", "was made with another program"),
])  # fmt: skip
def test_what_is_damaged_there_is_one_line(texts, tmp_path, name, content, says):
    out = tmp_path / "out"
    with run_in_process():
        run(TextJob(), texts, out)
        expected, (place,) = contents(out), out.glob(name)
        if content is None:
            place.unlink()
        else:
            place.write_bytes(content)
        with pytest.raises(UserError, match=says) as caught:
            run(TextJob(), texts, out)
        assert "\n" not in str(caught.value)
        if "remove" in says:
            (out / "parts" / "00000.json").unlink()
            run(TextJob(), texts, out)
            assert contents(out) == expected


@pytest.mark.parametrize("told", [b"[]", b"{}"])
def test_another_manifest_is_one_line(tmp_path, told):
    (tmp_path / "manifest.json").write_bytes(told)
    with pytest.raises(UserError, match=r"manifest.json: not the manifest of an output"):
        read_manifest(str(tmp_path))


def test_where_nothing_can_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for place, says in (
        ("file", "Not a directory"),
        ("file/below", "Not a directory"),
        ("x" * 300, "File name too long"),
    ):
        with pytest.raises(UserError, match=f"cannot be written .{says}"), store_at(tmp_path / place).hold():
            pass
    monkeypatch.setattr(os, "pwrite", full_disk)
    with pytest.raises(UserError, match="the disk is full while writing"), store_at(tmp_path / "out").hold():
        pass


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
