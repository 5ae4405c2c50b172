"""Processes started for a while: in sessions of their own, under a mark, and ended to the last descendant.

A service may start processes that leave its session (Ray) or lose their parent. Each inherits the environment, so a
variable with a name nobody else has finds them; some rewrite their environment's memory, and those are found by
session or parent. A process is named by (id, start time), so an id used again by the system is never mistaken.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from infra.settings import settings

CODE = Path(__file__).resolve().parent.parent
GIT_SECONDS = 10

MARK = "SCRIPTORIUM_UP"
OWNER = "SCRIPTORIUM_COMMAND"  # the command that a process belongs to: id:start@place
POLL_SECONDS = 0.1  # between two looks whether processes have ended


@dataclass(frozen=True, slots=True)
class Process:
    """started: clock ticks after boot, from /proc."""

    id: int
    started: int

    def alive(self) -> bool:
        found = _status(self.id)
        return found is not None and found.started == self.started and found.state != "Z"


@dataclass(frozen=True, slots=True)
class _Status:
    state: str
    parent: int
    session: int
    started: int


def this_process() -> Process:
    found = _status(os.getpid())
    return Process(os.getpid(), found.started if found else 0)


def start(command: list[str], environment: dict[str, str], log: Path) -> Process:
    """Start a command in a session of its own, what it says going to the end of `log`."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    _children.append(child)
    found = _status(child.pid)
    return Process(child.pid, found.started if found else 0)


def find_processes(leaders: list[Process], mark: str = "") -> set[Process]:
    """The living among the leaders, whatever carries the mark if there is one, and their sessions and descendants."""
    table = _living()
    mine = {leader.id for leader in leaders if leader.alive()}
    mine |= {pid for pid in table if mark and _variable(pid, MARK) == mark}
    return _with_descendants(mine - {os.getpid()}, table)


def kill_descendants() -> None:
    """Force the end of all that this process started, and of what that started in turn."""
    table = _living()
    me = Process(os.getpid(), table[os.getpid()].started)
    _signal(_with_descendants({me.id}, table) - {me}, signal.SIGKILL)


def end_orphans() -> None:
    """End what commands of ours on this store left behind when they were killed; what this one starts is marked as its
    own.

    A mark tells the command's process, by id and start, and the place in which these name one: the boot, the namespace
    of process ids and the store. What was started elsewhere, in a container or on another store, is not ours to judge.
    """
    table = _living()
    for pid in table:
        if (owner := _variable(pid, OWNER)) and has_ended(owner) and _is_mine(pid):
            _signal({Process(pid, table[pid].started)}, signal.SIGKILL)
    os.environ[OWNER] = process_mark()


def process_mark() -> str:
    """What this process alone is called, here and elsewhere: id:start@place."""
    me = this_process()
    return f"{me.id}:{me.started}@{_place()}"


def has_ended(mark: str) -> bool:
    """Whether the process of a mark was of this place and is no more; of another place that cannot be known."""
    owner, _, place = mark.partition("@")
    told = re.fullmatch("([0-9]{1,10}):([0-9]{1,20})", owner)
    return place == _place() and told is not None and not Process(int(told[1]), int(told[2])).alive()


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    store = hashlib.sha256(f"{settings().s3_endpoint} {settings().root}".encode()).hexdigest()[:16]
    return f"{boot}/{_namespace(os.getpid())}/{store}"


def _namespace(pid: int) -> str:
    """Of process ids; empty where it may not be asked for, or the process just ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _is_mine(pid: int) -> bool:
    """Whether a process is this user's, and its ids are of this process's namespace."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return False
    return owner == os.getuid() and _namespace(pid) == _namespace(os.getpid())


def _living() -> dict[int, _Status]:
    return {pid: found for pid in _every_id() if (found := _status(pid)) and found.state != "Z"}


def _with_descendants(mine: set[int], table: dict[int, _Status]) -> set[Process]:
    """These, their children's children, and the sessions that any of them leads."""
    grown = True
    while grown:
        sessions = {table[pid].session for pid in mine if pid in table and table[pid].session in mine}
        more = {pid for pid, found in table.items() if found.parent in mine or found.session in sessions} - mine
        mine, grown = mine | more, bool(more)
    return {Process(pid, table[pid].started) for pid in mine if pid in table}


def end(leaders: list[Process], mark: str, patience_seconds: float = 20) -> set[Process]:
    """End each leader with its family, last one first, then all that is left: asked first, forced afterwards.

    Returns what remains.
    """
    everything = find_processes(leaders, mark)
    for leader in reversed(leaders):
        family = find_processes([leader])
        _signal(family, signal.SIGTERM)
        _wait(family, patience_seconds)
    for number, seconds in ((signal.SIGTERM, patience_seconds / 4), (signal.SIGKILL, patience_seconds)):
        everything |= find_processes(leaders, mark)
        _signal(everything, number)
        _wait(everything, seconds)
    return {process for process in everything | find_processes(leaders, mark) if process.alive()}


def port_owner(host: str, port: int) -> str:
    """Empty where a server may listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return (error.strerror or "unknown").lower()
    return ""


_children: list[subprocess.Popen[bytes]] = []  # kept to be reaped by who started them


def _signal(processes: set[Process], number: signal.Signals) -> None:
    for process in processes:
        if process.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.id, number)


def _wait(processes: set[Process], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        for child in _children:
            child.poll()
        if not any(process.alive() for process in processes):
            return
        time.sleep(POLL_SECONDS)


def _every_id() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _status(pid: int) -> _Status | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return _Status(fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _variable(pid: int, name: str) -> str:
    """The value that a process was started with; empty where it has none, or is another user's, or just ended."""
    try:
        every = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    start = f"{name}=".encode()
    return next((entry.removeprefix(start).decode(errors="replace") for entry in every if entry.startswith(start)), "")


def ask_git(*arguments: str) -> str:
    """What git says of the folder of the code, "" where that is no working copy: it may be below somebody else's."""
    command = ["git", "-C", str(CODE)]
    try:
        top = subprocess.run([*command, "rev-parse", "--show-toplevel"], capture_output=True, timeout=GIT_SECONDS)
        if top.returncode or Path(os.fsdecode(top.stdout).strip()).resolve() != CODE.resolve():
            return ""
        told = subprocess.run([*command, *arguments], capture_output=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):  # no git here, or none that answers: the version has to do
        return ""
    return told.stdout.decode(errors="replace").strip() if not told.returncode else ""
