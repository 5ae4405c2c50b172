"""One owner at a time of what several processes, on several machines, may want to make; a dead owner keeps no lock.

On a local path the kernel holds it (flock), and lets go when the owner ends, however it ends; file systems that several
machines mount pass that on to each other, as NFS does unless it is mounted with `nolock` or `local_lock`. On S3, and
where a file system knows no flock, it is a claim: a file of its owner's, rewritten every few seconds. Who wants the
lock writes a claim, and has it if it then finds no other's; if it does, it withdraws and tries again. So two owners
are impossible where a listing shows what was written before it, which AWS, MinIO, Ceph and rclone promise, and no
server need know conditional writes. A claim that has not changed for EXPIRY_SECONDS while it was looked at is a dead
owner's; no two clocks are compared. An owner that was stopped for longer than that, and its successor, both work;
what they make is the same, for an artifact is named by what is in it.

    <root>/.locks/<name>                     the kernel's, with a line that says whose it is
    <root>/.locks/<name>/<id>.json           a claim
"""

import contextlib
import errno
import fcntl
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from infra import storage
from infra.errors import UserError, tell_user
from infra.processes import Process, this_process
from infra.settings import settings

FOLDER = ".locks"
BEAT_SECONDS, EXPIRY_SECONDS = 10.0, 60.0
POLL_SECONDS = 0.5  # between two looks whether a lock is free; of claims, which cost requests, four times that
NO_FLOCK = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


@contextmanager
def hold_lock(name: str, what: str, root: str = "") -> Iterator[None]:
    """Inside the block nobody else holds the lock of this name below a root, by default that of the artifacts.

    what: is being made, for the line that says so where another has the lock and is waited for.
    """
    place = storage.join(root or settings().root, FOLDER, name)
    waiting = _Waiting(what)
    descriptor = None if storage.is_s3(place) else _flock(Path(place), waiting)
    with _claimed(place, waiting) if descriptor is None else _released(descriptor, Path(place)):
        yield


@contextmanager
def hold_file(path: Path) -> Iterator[None]:
    """Inside the block no other process of this machine is in one for the same path, where there is flock."""
    descriptor = _flock(path, _Waiting(""))
    with nullcontext() if descriptor is None else _released(descriptor, path):
        yield


@contextmanager
def _released(descriptor: int, path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is free, so that it is no other owner's
        os.close(descriptor)


class _Waiting:
    """Tells once that another is waited for."""

    def __init__(self, what: str) -> None:
        self.what, self.told = what, False

    def tell(self, owner: dict[str, Any]) -> None:
        if self.what and owner and not self.told:
            at = f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
            tell_user(f"{self.what} is being made by another run ({at}); waiting for it")
            self.told = True


def _owner() -> dict[str, Any]:
    me = this_process()
    since = time.strftime("%H:%M:%S")
    return {"pid": me.id, "started": me.started, "host": socket.gethostname(), "since": since, "machine": _machine()}


def _machine() -> str:
    """The same for all processes that see each other's ids, and for no others."""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"


def _flock(path: Path, waiting: _Waiting) -> int | None:
    """The locked file's descriptor, which no program that this one starts inherits; None where there is no flock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except IsADirectoryError:  # claims of machines that have no flock here
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, path):
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(_owner()).encode(), 0)
                return descriptor
            os.close(descriptor)  # its owner has removed it meanwhile
            continue
        except BlockingIOError:
            waiting.tell(_parsed(os.pread(descriptor, 4096, 0)))
            os.close(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in NO_FLOCK:
                path.unlink(missing_ok=True)
                return None
            raise
        time.sleep(POLL_SECONDS)


def _is_file(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def _parsed(content: bytes) -> dict[str, Any]:
    """Empty for a note that its owner is only just writing."""
    with contextlib.suppress(json.JSONDecodeError):
        return json.loads(content)
    return {}


@contextmanager
def _claimed(place: str, waiting: _Waiting) -> Iterator[None]:
    others = _Claims(place)
    while True:
        if owners := others.living():
            waiting.tell(owners[0])
        else:
            claim = _Claim(place)
            others.mine = claim.name
            if not others.living():
                break
            claim.withdraw()  # so does the other: who waits for the shorter while is first
        time.sleep(4 * POLL_SECONDS * random.random())  # two that withdrew do not meet again
    try:
        claim.keep()
        yield
    finally:
        claim.withdraw()


class _Claim:
    """A claim of this process, kept alive by a thread."""

    def __init__(self, place: str) -> None:
        self.place, self.name, self.owner, self.beats = place, f"{uuid.uuid4().hex}.json", _owner(), 0
        self.ended, self.thread = threading.Event(), threading.Thread(target=self._beat, daemon=True)
        self._write()

    def _write(self) -> None:
        storage.write(storage.join(self.place, self.name), json.dumps(self.owner | {"beats": self.beats}).encode())

    def keep(self) -> None:
        self.thread.start()

    def _beat(self) -> None:
        while not self.ended.wait(BEAT_SECONDS):
            with contextlib.suppress(UserError):  # the server is away for longer than one waits; the work will say so
                if self.name not in storage.list_files(self.place):  # taken for dead: another works on
                    return
                self.beats += 1
                self._write()

    def withdraw(self) -> None:
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()  # or it would write the claim again
        storage.remove(storage.join(self.place, self.name))


class _Claims:
    """The claims that others have, and for how long each has been seen unchanged."""

    def __init__(self, place: str) -> None:
        self.place, self.mine = place, ""
        self.seen: dict[str, tuple[bytes, float]] = {}
        self.looked = time.monotonic()

    def living(self) -> list[dict[str, Any]]:
        """Their owners. Claims of the dead are removed."""
        names = [name for name in storage.list_files(self.place) if name != self.mine]
        # While the server was away, owners could not show themselves either.
        passed = min(time.monotonic() - self.looked, BEAT_SECONDS)
        self.looked, living = time.monotonic(), []
        for name in names:
            try:
                content = storage.read(storage.join(self.place, name))
            except FileNotFoundError:
                continue
            before, age = self.seen.get(name, (b"", 0.0))
            age = age + passed if content == before else 0.0
            self.seen[name] = content, age
            owner = _parsed(content)
            if age >= EXPIRY_SECONDS or _ended_here(owner):
                storage.remove(storage.join(self.place, name))
            else:
                living.append(owner)
        return living


def _ended_here(owner: dict[str, Any]) -> bool:
    """Whether this machine knows that the owner has ended; of other machines' it knows nothing."""
    return owner.get("machine") == _machine() and not Process(owner["pid"], owner["started"]).alive()
