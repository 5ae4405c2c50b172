"""The note of what `make up` has started on this machine: .scriptorium/services.json."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from infra.errors import UserError
from infra.processes import Process
from infra.settings import HOME

NOTE, LOCK = HOME / "services.json", HOME / "services.lock"


@dataclass
class ServiceState:
    """What `up` has started, in order; written after every change, so that `down` knows of a killed `up` too.

    addresses: what `up` printed at its end, empty before.
    """

    mark: str
    ray_folder: str
    services: dict[str, Process] = field(default_factory=dict)
    addresses: str = ""

    def write(self) -> None:
        partial = NOTE.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=2))
        partial.replace(NOTE)

    def forget(self) -> None:
        NOTE.unlink(missing_ok=True)

    def dead(self) -> list[str]:
        return [name for name, process in self.services.items() if not process.alive()]


def load_state() -> ServiceState | None:
    """What is noted, None where nothing was started."""
    if not NOTE.exists():
        return None
    note = json.loads(NOTE.read_text())
    return ServiceState(**note | {"services": {name: Process(**process) for name, process in note["services"].items()}})


@contextmanager
def service_lock() -> Iterator[None]:
    """One `up` or `down` at a time. Raises UserError where another is at work."""
    HOME.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another `make up` or `make down` is at work here; wait for it") from error
        yield
