"""The services of compose.yaml on machines of their own: started, asked whether they are well, stopped, killed.

Two have a stand-in, for their images are not ours: PostgreSQL is Debian's, and rclone serves S3 with signatures.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra import processes
from infra.errors import UserError
from infra.processes import Process
from infra.staging import postgres
from infra.staging.compose_file import Service, load_services
from infra.staging.network import beside, enter

CODE = Path(__file__).resolve().parent.parent.parent
BUCKET = "scriptorium"
FOREIGN = ("PREFECT_", "MLFLOW_", "RAY_", "AWS_", "SCRIPTORIUM_", "POSTGRES_", "PG", "MINIO_")  # of the shell's
WAVES = (("postgres", "s3", "ray"), ("prefect", "mlflow", "ray-worker"), ("worker",))
READY = {"ray": "Ray runtime started", "ray-worker": "Ray runtime started", "worker": "started!"}  # in their logs
S3_CHECK = [sys.executable, "-c", "import socket; socket.create_connection(('s3', 9000), 5)"]
NEEDED = {"ip": "apt-get install iproute2", "unshare": "apt-get install util-linux"}
NEEDED |= {"rclone": "pip install -e '.[dev]'", "ray": "pip install -e .", "mlflow": "pip install -e ."}
# The machines share this one's memory: Ray would end its workers for what any other program of it uses.
SHARED_MEMORY = {"RAY_memory_monitor_refresh_ms": "0"}
PATIENCE_SECONDS = 240
STOP_SECONDS = 10  # what `docker compose stop` gives
STOP_SIGNALS = {"postgres": signal.SIGINT}  # its image's: at once, however many are connected
POLL_SECONDS = 0.5  # between two questions whether a machine or a service is up


class Cluster:
    """folder: of what the machines write. logs: of what their first processes say, a file each."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder, self.logs = folder, logs
        self.services = load_services({
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "SCRIPTORIUM_ARTIFACTS": f"s3://{BUCKET}/artifacts",
            "AWS_ENDPOINT_URL": "http://s3:9000",
            "AWS_ACCESS_KEY_ID": "staging",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
        })  # fmt: skip
        self.running = dict[str, Process]()
        self.said = dict[str, int]()  # how long a log was when its service was started
        self.bucket = self.home("s3") / "data" / BUCKET  # where the objects of the S3 server lie
        self.bucket.mkdir(parents=True)

    def check(self) -> None:
        """Raises UserError for a program that is not installed."""
        postgres.programs()
        for program, hint in NEEDED.items():
            if not shutil.which(program, path=self.environment("worker")["PATH"]):
                raise UserError(f"the command {program} is not installed here: {hint}")

    def start(self, *names: str) -> None:
        """As machines that are switched on: what they wrote before lies there."""
        for name in names:
            (self.home(name) / "state").mkdir(parents=True, exist_ok=True)
            self.log(name).touch()
            self.said[name] = self.log(name).stat().st_size
            service = self.services[name]
            command = [*enter(name, self.home(name), service.shared_memory), *self._command(service)]
            self.running[name] = processes.start(command, self.environment(name), self.log(name))

    def await_ready(self, *names: str) -> None:
        """Raises UserError that names the service which ends, or is not well in time."""
        limit = time.monotonic() + PATIENCE_SECONDS
        for name in names:
            while not self._is_ready(name):
                ended = not self.running[name].alive()
                if ended or time.monotonic() > limit:
                    what = "ended while starting" if ended else f"is not well after {PATIENCE_SECONDS} s"
                    raise UserError(f"{name} {what}: {self._last_line(name)} (see {self.log(name)})")
                time.sleep(POLL_SECONDS)

    def start_all(self) -> None:
        for wave in WAVES:
            self.start(*wave)
            self.await_ready(*wave)

    def stop(self, name: str) -> None:
        """Ask the first process to end, as `docker compose stop` does, and switch the machine off."""
        leader = self.running[name]
        if first := self._first_process(name):
            os.kill(first, STOP_SIGNALS.get(name, signal.SIGTERM))
        limit = time.monotonic() + STOP_SECONDS
        while leader.alive() and time.monotonic() < limit:
            time.sleep(POLL_SECONDS)
        self.kill(name)

    def kill(self, name: str) -> None:
        """Switch the machine off: with its first process the kernel ends all others."""
        leader = self.running.pop(name)
        if leader.alive():
            os.kill(leader.id, signal.SIGKILL)
        while leader.alive():
            time.sleep(POLL_SECONDS / 5)

    def kill_all(self) -> None:
        for name in reversed([*self.running]):
            self.kill(name)

    def dead(self) -> list[str]:
        return [name for name, leader in self.running.items() if not leader.alive()]

    def run(self, name: str, command: Sequence[str]) -> "subprocess.Popen[str]":
        """A command beside a service, as `docker compose exec` has it; its output can be read."""
        return subprocess.Popen(
            [*beside(self._first_process(name), CODE), *command], env=self.environment(name), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def environment(self, name: str) -> dict[str, str]:
        """The shell's without the settings of ours in it; the image's and the compose file's; paths of this machine."""
        mine = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        places = {"/state": str(self.home(name) / "state"), "/scriptorium": str(CODE)}
        told = self.services[name].environment
        for place, here in places.items():
            told = {key: here + v.removeprefix(place) if v.startswith(place) else v for key, v in told.items()}
        path = [str(Path(sys.executable).parent), str(postgres.programs()), mine["PATH"]]
        own = {"PATH": ":".join(path), "HOME": str(self.home(name)), "PYTHONPATH": str(CODE)}
        return mine | told | SHARED_MEMORY | own

    def home(self, name: str) -> Path:
        return self.folder / name

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _command(self, service: Service) -> list[str]:
        if service.name == "postgres":
            return postgres.command(self.home("postgres"), service.environment)
        if service.name == "s3":
            keys = ",".join(service.environment[f"MINIO_ROOT_{name}"] for name in ("USER", "PASSWORD"))
            how = ["--addr", "0.0.0.0:9000", "--auth-key", keys]
            return ["rclone", "serve", "s3", *how, str(self.bucket.parent)]
        return service.command

    def _is_ready(self, name: str) -> bool:
        if name in READY:
            return READY[name] in self.log(name).read_text(errors="replace")[self.said[name] :]
        if not self._first_process(name):
            return False
        with self.run(name, self.services[name].check or S3_CHECK) as asked:
            asked.communicate()
        return asked.returncode == 0

    def _first_process(self, name: str) -> int:
        """The id that a machine's first process has here, 0 where there is none (yet)."""
        leader = self.running[name].id
        try:
            children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
        except FileNotFoundError:
            return 0
        return int(children[0]) if children else 0

    def _last_line(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "it said nothing")
