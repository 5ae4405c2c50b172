"""A lock on each kind of storage: one owner at a time, of those that start together too; a dead owner keeps none."""

import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from infra import lock, storage
from infra.lock import hold_lock
from infra.settings import settings

WORK = """
import os, sys, time
from infra import lock, storage
from infra.settings import settings
lock.POLL_SECONDS = 0.05
place = storage.join(settings().root, "log")
for turn in range(int(sys.argv[1])):
    with lock.hold_lock("name", "the thing"):
        inside = storage.list_files(place)
        storage.write(storage.join(place, str(os.getpid())), b"x")
        time.sleep(0.02)
        assert not inside and list(storage.list_files(place)) == [str(os.getpid())], "two owners"
        storage.remove(storage.join(place, str(os.getpid())))
        if len(sys.argv) > 2:
            print("inside", flush=True)
            time.sleep(60)
"""


@pytest.fixture(params=["flock", "no flock"])
def kind(request, monkeypatch):
    """Also on a file system that has no flock. S3 is the same for both."""
    if request.param == "no flock":

        def refused(descriptor, operation):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(lock.fcntl, "flock", refused)


def start(*arguments):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", WORK, *arguments], **how)


def names():
    return list(storage.list_files(storage.join(settings().root, lock.FOLDER)))


def test_processes_that_start_together_come_one_after_the_other(root):
    several = [start("5") for _ in range(3)]
    told = [process.communicate(timeout=120)[1] for process in several]
    assert [process.returncode for process in several] == [0, 0, 0], told
    assert any("the thing is being made by another run (process" in line for line in told)
    assert names() == []


def test_a_killed_owner_keeps_nothing(root, monkeypatch):
    owner = start("1", "stay")
    assert owner.stdout.readline() == "inside\n"
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    with hold_lock("name", "the thing"):
        assert len(names()) == 1
    assert names() == []


def test_an_owner_elsewhere_is_waited_for_until_it_shows_no_life_for_long(root, monkeypatch, capfd):
    """The claim of a machine that has gone: nobody can ask for its process."""
    monkeypatch.setattr(lock, "EXPIRY_SECONDS", 1.0)
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.05)
    claim = storage.join(settings().root, lock.FOLDER, "name", "a.json")
    gone = {"pid": 7, "started": 7, "host": "far", "since": "12:00", "machine": "another", "beats": 3}
    storage.write(claim, json.dumps(gone).encode())
    begun = time.monotonic()
    with hold_lock("name", "the thing"):
        assert time.monotonic() - begun >= 1.0
        assert storage.stat(claim) is None
    assert "the thing is being made by another run (process 7 on far, since 12:00)" in capfd.readouterr().err
    assert names() == []


def test_an_owner_that_shows_itself_is_waited_for(root, monkeypatch):
    """Claims of another owner that change keep it in possession, however long it takes."""
    monkeypatch.setattr(lock, "EXPIRY_SECONDS", 0.5)
    claim = storage.join(settings().root, lock.FOLDER, "name", "a.json")
    others, owner = lock._Claims(claim.rpartition("/")[0]), {"pid": 7, "started": 7, "machine": "another"}
    for beat in range(8):
        storage.write(claim, json.dumps(owner | {"beats": beat}).encode())
        assert len(others.living()) == 1
        time.sleep(0.1)
    storage.remove(claim)
    assert others.living() == []


def test_an_owner_shows_itself_while_it_works(root, monkeypatch, kind):
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.1)
    claims = storage.join(settings().root, lock.FOLDER, "name")
    with hold_lock("name", "the thing"):
        if not (found := list(storage.list_files(claims))):
            assert names() == ["name"], "the kernel's"
            return
        before = storage.read(storage.join(claims, *found))
        limit = time.monotonic() + 20
        while storage.read(storage.join(claims, *found)) == before and time.monotonic() < limit:
            time.sleep(0.05)
        assert storage.read(storage.join(claims, *found)) != before
    assert names() == []


def test_no_program_that_an_owner_starts_keeps_its_lock(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    with hold_lock("name", "the thing"):
        left = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with hold_lock("name", "the thing"):
            assert names() == ["name"]
    finally:
        left.kill()
        left.wait()


def test_a_lock_is_let_go_where_the_work_fails(root, kind):
    with pytest.raises(ZeroDivisionError), hold_lock("name", "the thing"):
        _ = 1 / 0
    assert names() == []
    with hold_lock("name", "the thing"):
        assert os.getpid()
