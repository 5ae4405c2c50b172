"""Machines that are none: they know each other by name, are alone with themselves, and end whole."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import processes
from infra.errors import UserError
from infra.staging import network

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces are made by root")
SERVE = "import http.server as h; h.HTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()"
FETCH = "import urllib.request as u; print(u.urlopen('http://left:8000/', timeout=5).status)"


@pytest.fixture(autouse=True)
def other_names(monkeypatch, tmp_path):
    """So that a staging cluster on this machine goes on."""
    monkeypatch.setattr(network, "PREFIX", "test-network-")
    monkeypatch.setattr(network, "SWITCH", "test-network-switch")
    monkeypatch.setattr(network, "LOCK", tmp_path / "lock")


def start(name, folder, *command):
    (folder / name).mkdir()
    entered = [*network.enter(name, folder / name, "8m"), *command]
    return processes.start(entered, dict(os.environ), folder / f"{name}.log")


def first_process(leader):
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        if told := Path(f"/proc/{leader.id}/task/{leader.id}/children").read_text().split():
            return int(told[0])
        time.sleep(0.02)
    raise AssertionError("it has not begun")


def ask(leader, *command, tries=1):
    for _ in range(tries):
        entered = [*network.beside(first_process(leader), Path("/")), *command]
        done = subprocess.run(entered, capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            break
        time.sleep(0.2)
    return done.stdout.strip() or done.stderr


def test_two_machines_on_one_network(tmp_path):
    with network.network(["left", "right"]):
        left = start("left", tmp_path, sys.executable, "-c", SERVE)
        right = start("right", tmp_path, "sleep", "60")
        assert ask(right, sys.executable, "-c", FETCH, tries=50) == "200"
        assert ask(right, "hostname") == "right"
        assert ask(right, "df", "--output=size", "/dev/shm").split()[-1] == str(8 * 1024)
        assert ask(right, "cat", "/proc/1/comm") == "sleep", "it is alone with its processes"
        assert ask(right, "cat", "/sys/fs/cgroup/cpu.max") == "100000 100000"
        inside = first_process(right)
        for leader in (left, right):
            os.kill(leader.id, 9)
        limit = time.monotonic() + 20
        while Path(f"/proc/{inside}/stat").exists() and time.monotonic() < limit:
            time.sleep(0.02)
        assert not Path(f"/proc/{inside}/stat").exists(), "the first process ends with what started it"
        assert not any(leader.alive() for leader in (left, right))
        processes.end([left, right], "", 1)  # reaps them
    assert network._existing() == []
    assert not list(network.HOSTS.glob("test-network-*"))


def test_one_network_at_a_time_and_none_is_left_by_one_that_fails():
    def broken():
        with network.network(["left"]):
            with pytest.raises(UserError, match="another `make staging` is at work"), network.network(["left"]):
                pass
            assert network._existing(), "the second takes nothing from the first"
            raise OSError("of a service")

    with pytest.raises(OSError, match="of a service"):
        broken()
    assert network._existing() == []
