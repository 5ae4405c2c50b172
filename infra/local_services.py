"""The servers of a cluster as processes on this machine, reachable from this machine only.

    python -m infra.local_services up      Prefect server and worker, MLflow, reports, Ray head; deploys
                                           infra/prefect.yaml
    python -m infra.local_services status  what is up
    python -m infra.local_services down    ends exactly what `up` started

What they say goes to .scriptorium/log/, what runs is noted in .scriptorium/services.json. While they are up,
prefect.toml in this folder tells every `prefect` command typed here where the server is.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra import processes, ray_cluster
from infra.errors import UserError, one_line_errors, redact_url
from infra.processes import Process
from infra.service_state import ServiceState, load_state, service_lock
from infra.settings import HOME, settings

CHECKOUT = Path(__file__).resolve().parent.parent
LOG = HOME / "log"
TOKEN = HOME / "ray-token"
RAY_LOGIN = f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={TOKEN}"
CLIENT_SETTINGS = Path("prefect.toml").absolute()
OURS = "# Written by `make up`, removed by `make down`: where the Prefect server of this machine is.\n"
HOST = "127.0.0.1"
POOL = "local"
PATIENCE_SECONDS = 240  # a busy laptop imports these servers in a minute
POLL_SECONDS = 0.3  # between two questions whether a server answers


def up() -> None:
    """Start everything, or say that it is up. Raises UserError, with nothing left running, where a service fails."""
    with service_lock():
        if found := load_state():
            dead = found.dead()
            if found.addresses and not dead:
                print("it is up already\n" + found.addresses)
                return
            if processes.find_processes(list(found.services.values()), found.mark):
                what = f"{', '.join(dead)} has ended (see {LOG})" if dead else "an earlier `make up` did not finish"
                raise UserError(f"{what}, the rest still runs; type make down first")
            _clear(found)  # the machine was restarted, say
        _refuse_foreign_settings()
        for name, port in _ports().items():
            _refuse_taken(name, port)
        running = ServiceState(secrets.token_hex(16), tempfile.mkdtemp(prefix="scriptorium-ray-"))
        try:
            _start_all(running)
        except BaseException:
            _clear(running)
            raise
        print(running.addresses)


def down() -> None:
    """End what `up` started. Raises UserError if something would not go."""
    if not HOME.exists():
        print("nothing is up")
        return
    with service_lock():
        found = load_state()
        if not found:
            print("nothing is up")
            return
        if left := _clear(found):
            raise UserError(f"these processes do not end: {', '.join(str(p.id) for p in left)}; kill -9 them")
        print("all ended")


def status() -> None:
    found = load_state()
    if not found:
        print("nothing is up")
        return
    for name, process in found.services.items():
        state = "up" if process.alive() else f"ended, see {_log(name)}"
        print(f"{name:<8} {state}, process {process.id}")
    print(found.addresses)


def _where() -> str:
    """The addresses, and what to type next."""
    ports = _ports()
    lines = [f"Prefect  http://{HOST}:{ports['prefect']}"]
    lines += [
        f"MLflow   {redact_url(_tracking_uri())}{_experiment_view()}",
        f"reports  http://{HOST}:{ports['reports']}/report/...",
    ]
    lines += [f"Ray      {_ray_address()}, from a shell: export RAY_ADDRESS={_ray_address()} {RAY_LOGIN}"]
    if os.environ.get("PREFECT_API_URL"):
        lines += ["PREFECT_API_URL is set in this shell and comes before prefect.toml: unset it"]
    lines += ["next     .venv/bin/prefect deployment run train-asr/local --watch", "end      make down"]
    return "\n".join(lines)


def service_environment(mark: str) -> dict[str, str]:
    """What every service and every flow run is started with. The user's own ~/.prefect stays untouched."""
    now = settings()
    return os.environ | {
        processes.MARK: mark,
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": str(HOME / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{_ports()['prefect']}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED": "true",  # `prefect deployment run --watch` shows a run's log
        "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # 515 MB instead of 2.5 GB
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": _tracking_uri(),
        **ray_cluster.ENVIRONMENT,
        **ray_cluster.ON_THIS_MACHINE,
        "RAY_ADDRESS": _ray_address(),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(TOKEN),
        "SCRIPTORIUM_ARTIFACTS": now.root,
        "SCRIPTORIUM_CACHE": str(Path(now.cache_folder).absolute()),
        "SCRIPTORIUM_REPORTS": f"http://{HOST}:{_ports()['reports']}",
        "SCRIPTORIUM_CHECKOUT": str(CHECKOUT),
    }


def _start_all(running: ServiceState) -> None:
    running.write()
    LOG.mkdir(parents=True, exist_ok=True)
    TOKEN.touch(mode=0o600)
    TOKEN.write_text(secrets.token_hex(32))
    environ, port, now = service_environment(running.mark), _ports(), settings()

    def launch(name: str, *command: str) -> None:
        _log(name).write_bytes(b"")
        running.services[name] = processes.start([sys.executable, "-m", *command], environ, _log(name))
        running.write()

    def ready(name: str, is_ready: Callable[[], bool]) -> None:
        _await(running, name, is_ready)
        print(f"{name:<8} is up", flush=True)

    launch("prefect", "prefect", "server", "start", "--host", HOST, "--port", port["prefect"])
    if "mlflow" in port:
        store = now.tracking_uri.removeprefix("sqlite:///")
        Path(store).parent.mkdir(parents=True, exist_ok=True)
        # Clients write artifacts themselves, so that the record is as good when no server is up.
        places = ["--backend-store-uri", now.tracking_uri, "--default-artifact-root", f"{now.root}/mlflow"]
        launch("mlflow", "mlflow", "server", "--host", HOST, "--port", port["mlflow"], "--workers", "1",
               "--no-serve-artifacts", *places)  # fmt: skip
    launch("reports", "infra.artifacts.report_server", "--port", port["reports"])
    ready("prefect", lambda: bool(_reply(f"http://{HOST}:{port['prefect']}/api/health")))
    _close_lost_runs(port["prefect"])
    launch("worker", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "local")
    if "mlflow" in port:
        ready("mlflow", lambda: bool(_reply(f"http://{HOST}:{port['mlflow']}/health")))
    ready("reports", lambda: bool(processes.port_owner(HOST, int(port["reports"]))))
    for last in (False, True):  # Ray gives its node 30 s to start, which a machine under load does not always manage
        launch("ray", "ray.scripts.scripts", "start", "--head", "--block", f"--node-ip-address={HOST}",
               f"--port={port['ray']}", f"--num-cpus={now.cores}", "--include-dashboard=false", "--disable-usage-stats",
               f"--temp-dir={running.ray_folder}")  # fmt: skip
        try:
            ready("ray", lambda: b"Ray runtime started" in _log("ray").read_bytes())
            break
        except UserError:
            if last or running.dead() != ["ray"] or processes.port_owner(HOST, int(port["ray"])):
                raise
    ready("worker", lambda: _worker_polls(port["prefect"]))
    _deploy(environ)
    CLIENT_SETTINGS.write_text(f'{OURS}[api]\nurl = "{environ["PREFECT_API_URL"]}"\n')
    running.addresses = _where()
    running.write()


def _deploy(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    command += ["--prefect-file", str(CHECKOUT / "infra" / "prefect.yaml")]
    how = {"cwd": CHECKOUT, "env": environ, "timeout": PATIENCE_SECONDS}
    done = subprocess.run(command, **how, capture_output=True, check=False)
    _log("deploy").write_bytes(done.stdout + done.stderr)
    if done.returncode:
        raise UserError(f"infra/prefect.yaml could not be deployed; see {_log('deploy')}")
    print("deployed infra/prefect.yaml", flush=True)


def _clear(running: ServiceState) -> set[Process]:
    """End everything and forget it. Returns what would not go; then the note stays."""
    left = processes.end(list(running.services.values()), running.mark)
    if not left:
        shutil.rmtree(running.ray_folder, ignore_errors=True)
        running.forget()
        TOKEN.unlink(missing_ok=True)
    if CLIENT_SETTINGS.is_file() and CLIENT_SETTINGS.read_text().startswith(OURS):
        CLIENT_SETTINGS.unlink()
    return left


def _await(running: ServiceState, name: str, is_ready: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not is_ready():
        if dead := running.dead():
            raise UserError(f"{dead[0]} ended while starting: {_last_line(dead[0])} (see {_log(dead[0])})")
        if time.monotonic() > limit:
            raise UserError(f"{name} is not ready after {PATIENCE_SECONDS} s: {_last_line(name)} (see {_log(name)})")
        time.sleep(POLL_SECONDS)


def _reply(url: str, question: dict[str, Any] | None = None) -> bytes:
    """What a server answers to a GET, or to a POST of JSON; empty where it does not."""
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.read()
    except (urllib.error.URLError, OSError):
        return b""


def _experiment_view() -> str:
    """Below MLflow's address where our experiment opens as trainings, not as an agent's; made if there is none."""
    if "mlflow" not in _ports():
        return ""
    api, name = f"{_tracking_uri()}/api/2.0/mlflow/experiments", settings().experiment
    if not (made := json.loads(_reply(f"{api}/create", {"name": name}) or b"{}")):
        told = _reply(f"{api}/get-by-name?{urllib.parse.urlencode({'experiment_name': name})}")
        made = json.loads(told or b"{}").get("experiment", {})
    return f"/#/experiments/{made['experiment_id']}?workflowType=machine_learning" if made else ""


def _worker_polls(prefect_port: str) -> bool:
    reply = _reply(f"http://{HOST}:{prefect_port}/api/work_pools/{POOL}/workers/filter", {})
    return any(worker["status"] == "ONLINE" for worker in json.loads(reply or b"[]"))


def _close_lost_runs(prefect_port: str) -> None:
    """Runs that an earlier `down` or a power cut ended are still called running by Prefect's record."""
    api, started = f"http://{HOST}:{prefect_port}/api/flow_runs", {"type": {"any_": ["RUNNING", "PENDING"]}}
    for run in json.loads(_reply(f"{api}/filter", {"flow_runs": {"state": started}}) or b"[]"):
        state = {"type": "CRASHED", "name": "Crashed", "message": "the services were ended while it ran"}
        _reply(f"{api}/{run['id']}/set_state", {"state": state, "force": True})


def _ports() -> dict[str, str]:
    now = settings()
    mine = {"mlflow": now.mlflow_port} if now.tracking_uri.startswith("sqlite:") else {}  # else there is a server
    return {"prefect": now.prefect_port} | mine | {"reports": now.reports_port, "ray": now.ray_port}


def _tracking_uri() -> str:
    return f"http://{HOST}:{_ports()['mlflow']}" if "mlflow" in _ports() else settings().tracking_uri


def _ray_address() -> str:
    return f"{HOST}:{_ports()['ray']}"


def _refuse_taken(name: str, port: str) -> None:
    variable = f"SCRIPTORIUM_{name.upper()}_PORT"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"{variable}={port}: not a port; give a number from 1 to 65535")
    if reason := processes.port_owner(HOST, int(port)):
        raise UserError(f"{name}: port {port} is taken ({reason}); set {variable} to another")


def _refuse_foreign_settings() -> None:
    if CLIENT_SETTINGS.exists() and not CLIENT_SETTINGS.read_text().startswith(OURS):
        raise UserError(f"{CLIENT_SETTINGS} is yours and would be overwritten; move it away")


def _log(name: str) -> Path:
    return LOG / f"{name}.log"


def _last_line(name: str) -> str:
    lines = _log(name).read_text(errors="replace").split("\n")
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "it said nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "status"))
    verb = parser.parse_args().verb
    with one_line_errors(interrupted="interrupted; what was started has been ended"):
        {"up": up, "down": down, "status": status}[verb]()


if __name__ == "__main__":
    main()
