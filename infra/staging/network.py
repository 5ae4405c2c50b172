"""Machines that are none: a network namespace each, with an address and a name, and one switch between them.

The switch lies in a namespace too, so that nothing of this machine's own network changes. Needs root. The names of all
stand in /etc/netns/*/hosts, which `ip netns exec` shows its command as /etc/hosts.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.errors import UserError

PREFIX = "scriptorium-"
SWITCH = f"{PREFIX}switch"
HOSTS = Path("/etc/netns")
SUBNET = "10.77.0"

# Within its namespaces: a /tmp/ray and a /run of its own (where sockets lie), /dev/shm in the size that a container
# gets, and one core, as Ray asks for the number of them.
ENTER = (
    'mkdir -p /tmp/ray "$1/ray"; mount --bind "$1/ray" /tmp/ray; mount -t tmpfs -o size="$2" tmpfs /dev/shm; '
    "mount -t tmpfs tmpfs /run; mkdir -m 1777 /run/postgresql; "
    'mount -t tmpfs tmpfs /sys/fs/cgroup; echo 100000 100000 > /sys/fs/cgroup/cpu.max; hostname "$3"; '
    'shift 3; exec "$@"'
)
# One at a time on a machine, for all have the same names.
LOCK = Path("/run/lock/scriptorium-staging.lock")


@contextmanager
def network(names: Sequence[str]) -> Iterator[None]:
    """Within, each name is a machine that knows the others. Raises UserError where that may not be made."""
    if os.geteuid():
        raise UserError("network namespaces are made by root: sudo make staging, or as root in a container")
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another `make staging` is at work on this machine; wait for it") from error
        remove_network()
        try:
            _make(names)
            yield
        finally:
            remove_network()


def remove_network() -> None:
    """Those of an earlier run, too, which was killed."""
    for name in _existing():
        _ip("netns", "delete", name)
        shutil.rmtree(HOSTS / name, ignore_errors=True)


def enter(name: str, folder: Path, shared_memory: str) -> list[str]:
    """What stands before a command so that it runs on this machine, as its first process: the others end with it, and
    it ends with the process that started it.
    """
    alone = ["unshare", "--uts", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    into = ["ip", "netns", "exec", f"{PREFIX}{name}"]
    inside = ["sh", "-ec", ENTER, "enter", str(folder), shared_memory, name]
    return ["setpriv", "--pdeathsig", "KILL", *into, *alone, *inside]


def beside(first: int, folder: Path) -> list[str]:
    """What stands before a command so that it runs beside a machine's first process, as `docker compose exec` has it.

    first: its id here, of the machine.
    """
    return ["nsenter", f"--target={first}", "--net", "--mount", "--uts", "--pid", "env", f"--chdir={folder}"]


def _make(names: Sequence[str]) -> None:
    addresses = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, 2)}
    known = "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in addresses.items())
    _ip("netns", "add", SWITCH)
    _ip("-n", SWITCH, "link", "add", "bridge", "type", "bridge")
    _ip("-n", SWITCH, "link", "set", "bridge", "up")
    for number, (name, address) in enumerate(addresses.items()):
        space, port = f"{PREFIX}{name}", f"port{number}"
        (HOSTS / space).mkdir(parents=True)
        (HOSTS / space / "hosts").write_text(known)
        (HOSTS / space / "resolv.conf").write_text("nameserver 127.0.0.1\n")  # nobody there: refused at once
        _ip("netns", "add", space)
        _ip("-n", SWITCH, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("-n", SWITCH, "link", "set", port, "master", "bridge", "up")
        _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", space, "link", "set", link, "up")
        _ip("-n", space, "route", "add", "default", "dev", "eth0")  # Ray asks which address it would leave by


def _existing() -> list[str]:
    told = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in told.splitlines() if line.startswith(PREFIX)]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"ip {' '.join(arguments)}: {done.stderr.strip()}; network namespaces are made by root")
