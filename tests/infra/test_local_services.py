"""`up` and `down` with the real servers: what one starts the other ends, to the last process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import processes
from infra.local_services import _close_lost_runs, _reply
from infra.processes import Process

ROOT = Path(__file__).parent.parent.parent


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def environment(tmp_path):
    (tmp_path / ".scriptorium").mkdir()  # where state is kept, of what is called from here or below
    names = [f"SCRIPTORIUM_{name}_PORT" for name in ("PREFECT", "MLFLOW", "RAY", "REPORTS")]
    mine = ("PREFECT_", "RAY_", "MLFLOW_", "SCRIPTORIUM_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(mine)}
    return plain | dict(zip(names, free_ports(4), strict=True)) | {"PREFECT_HOME": str(tmp_path / "home")}


def local(verb, folder, environment):
    command = [sys.executable, "-m", "infra.local_services", verb]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


def everybody():
    return {pid for pid in processes._every_id() if (s := processes._status(pid)) and s.state != "Z"}


def sleepers():
    """A script that starts a child, one that left its session, and one without a parent."""
    return (
        "import subprocess, sys, time\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "subprocess.Popen(sleep)\n"
        "subprocess.Popen(sleep, start_new_session=True)\n"
        "subprocess.Popen(['sh', '-c', f'setsid {sys.executable} -c \"import time; time.sleep(300)\" &'])\n"
        "time.sleep(300)\n"
    )


def test_descendants_that_leave_session_and_parent_are_ended(tmp_path):
    mark = "a-mark-of-this-test"
    bystander = subprocess.Popen(["sleep", "300"])
    leader = processes.start([sys.executable, "-c", sleepers()], os.environ | {processes.MARK: mark}, tmp_path / "log")
    deadline = time.monotonic() + 20
    while len(processes.find_processes([leader], mark)) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    found = processes.find_processes([leader], mark)
    assert len(found) >= 4
    assert bystander.pid not in {process.id for process in found}
    assert processes.end([leader], mark, 5) == set()
    assert not any(process.alive() for process in found)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_what_ignores_the_question_is_forced(tmp_path):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(300)"
    )
    leader = processes.start([sys.executable, "-c", code], dict(os.environ), tmp_path / "log")
    while b"on" not in (tmp_path / "log").read_bytes():
        time.sleep(0.05)
    assert processes.end([leader], "no-such-mark", 1) == set()
    assert not leader.alive()


def test_an_id_used_again_is_not_taken_for_ours():
    own = processes._status(os.getpid())
    assert Process(os.getpid(), own.started).alive()
    assert not Process(os.getpid(), own.started - 1).alive()
    assert processes.find_processes([Process(os.getpid(), own.started - 1)], "no-such-mark") == set()


@pytest.mark.parametrize(("name", "number"), [("prefect", 0), ("mlflow", 1), ("ray", 2), ("reports", 3)])
def test_a_port_that_is_taken_is_named_with_its_variable(tmp_path, environment, name, number):
    variable = f"SCRIPTORIUM_{name.upper()}_PORT"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = local("up", tmp_path, environment | {variable: port})
    assert done.returncode == 1
    assert (
        done.stderr
        == f"scriptorium: {name}: port {port} is taken (address already in use); set {variable} to another\n"
    )
    assert not (tmp_path / ".scriptorium" / "services.json").exists()


def test_a_port_that_is_none_and_settings_of_the_user(tmp_path, environment):
    assert "not a port" in local("up", tmp_path, environment | {"SCRIPTORIUM_RAY_PORT": "x"}).stderr
    (tmp_path / "prefect.toml").write_text("[api]\n")
    assert "is yours" in local("up", tmp_path, environment).stderr
    assert local("down", tmp_path, environment).stdout == "nothing is up\n"
    assert (tmp_path / "prefect.toml").read_text() == "[api]\n"


@pytest.mark.slow
def test_up_runs_a_deployment_and_down_leaves_nothing(tmp_path, environment):
    done = local("up", tmp_path, environment)
    assert done.returncode == 0, done.stderr
    try:
        note = json.loads((tmp_path / ".scriptorium" / "services.json").read_text())
        assert set(note["services"]) == {"prefect", "mlflow", "reports", "ray", "worker"}
        again = local("up", tmp_path, environment)
        assert again.stdout.startswith("it is up already")
        prefect = [str(Path(sys.executable).with_name("prefect"))]
        listed = subprocess.run(
            [*prefect, "deployment", "ls"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert "train-asr/local" in listed.stdout, listed.stderr
        assert "evaluate/evaluate" in listed.stdout
        # The run is refused by the flow itself: the whole way to the worker, without an hour of training.
        command = [*prefect, "deployment", "run", "train-asr/local", "--watch", "--param", "corpus=an4:/nowhere"]
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert run.returncode == 1
        assert "finished in state 'Failed'" in run.stdout
        assert "/nowhere does not exist" in run.stdout, "the log is shown"
        assert "/nowhere" in (tmp_path / ".scriptorium" / "log" / "worker.log").read_text()
        command = [*prefect, "deployment", "schedule", "create", "train-asr/local", "--cron", "0 2 * * *"]
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
        assert _a_scheduled_run_appears(environment["SCRIPTORIUM_PREFECT_PORT"])
        _kill_one(note)
        broken = local("up", tmp_path, environment)
        assert broken.returncode == 1
        assert "mlflow has ended" in broken.stderr
    finally:
        down = local("down", tmp_path, environment)
    assert down.stdout == "all ended\n", down.stderr
    assert processes.find_processes([], note["mark"]) == set()
    assert not (tmp_path / "prefect.toml").exists()
    assert not Path(note["ray_folder"]).exists()
    assert local("status", tmp_path, environment).stdout == "nothing is up\n"


def test_runs_that_were_lost_are_closed(monkeypatch):
    asked = []

    def reply(url, question=None):
        asked.append((url.partition("/api/")[2], question))
        return b'[{"id": "a"}, {"id": "b"}]' if url.endswith("filter") else b""

    monkeypatch.setattr("infra.local_services._reply", reply)
    _close_lost_runs("4200")
    assert [where for where, _ in asked] == ["flow_runs/filter", "flow_runs/a/set_state", "flow_runs/b/set_state"]
    assert asked[1][1]["state"]["type"] == "CRASHED"


@pytest.mark.slow
def test_a_service_that_fails_takes_the_others_along(tmp_path, environment):
    (tmp_path / "mlflow.db").write_bytes(b"this is not a database" * 100)
    done = local("up", tmp_path, environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"})
    assert done.returncode == 1
    assert done.stderr.startswith("scriptorium: mlflow ended while starting")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / ".scriptorium" / "services.json").exists()
    assert not any(str(tmp_path).encode() in _environment(pid) for pid in everybody())


def _a_scheduled_run_appears(port):
    """With a version of SQLAlchemy that does not fit, Prefect's scheduler says nothing and makes no run."""
    question = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    limit = time.monotonic() + 180
    while time.monotonic() < limit:
        if json.loads(_reply(f"http://127.0.0.1:{port}/api/flow_runs/filter", question) or b"[]"):
            return True
        time.sleep(1)
    return False


def _kill_one(note):
    mlflow = Process(**note["services"]["mlflow"])
    os.kill(mlflow.id, signal.SIGKILL)
    while mlflow.alive():
        time.sleep(0.05)


def _environment(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
