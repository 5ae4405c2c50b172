"""Ctrl-C ends a command in seconds, whatever it is waiting for, with what it started."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flows
from infra.processes import OWNER, Process, _status

CODE = """
import subprocess, sys, time
from infra import keyboard_interrupt as interrupt
interrupt.PATIENCE_SECONDS = 1.0
interrupt.force_exit_on_interrupt("stopped here")
sleeper = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(99)"
child = subprocess.Popen([sys.executable, "-c", sleeper])
print(child.pid, flush=True)
try:
    time.sleep(99)
except KeyboardInterrupt:
    print("said", flush=True)
    {after}
"""


@pytest.mark.parametrize(
    ("after", "presses", "status", "told"),
    [
        ("child.kill(); sys.exit(130)", 1, 130, ""),  # the usual way
        ("time.sleep(99)", 1, 130, "scriptorium: stopped here\n"),  # too long: by force
        ("interrupt.PATIENCE_SECONDS = 99; time.sleep(99)", 2, 130, "scriptorium: stopped here\n"),  # and at once
    ],
)
def test_it_ends(after, presses, status, told):
    code = CODE.format(after=after)
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    begun = time.monotonic()
    time.sleep(0.2)
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() in {"said\n", ""}
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (status, told)
    assert time.monotonic() - begun < 20
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_a_command_that_is_still_being_imported_ends_in_one_line(tmp_path):
    # in Prefect's place an import that lasts until standard input ends, so that a failed test leaves no process
    (tmp_path / "prefect.py").write_text("import sys; print('importing', flush=True); sys.stdin.read()")
    places = os.pathsep.join([str(tmp_path), str(Path(flows.__file__).parents[1])])
    with subprocess.Popen(
        [sys.executable, "-m", "flows.train_asr", "--corpus", "demo:"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        env=os.environ | {"PYTHONPATH": places},
        cwd=tmp_path,
        text=True,
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[1] == "scriptorium: interrupted\n"
    assert process.returncode == -signal.SIGINT  # which a shell says as 130


def alive(pid):
    found = _status(pid)
    return found is not None and Process(pid, found.started).alive()


def test_what_a_killed_command_left_is_ended_by_the_next():
    code = (
        "import subprocess, sys, time; from infra.processes import end_orphans; end_orphans();"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True).pid,"
        " flush=True); time.sleep(99)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    orphan, child = int(killed.stdout.readline()), int(running.stdout.readline())
    killed.kill()
    killed.wait()
    assert alive(orphan)
    subprocess.run([sys.executable, "-c", "from infra.processes import end_orphans; end_orphans()"], check=True)
    deadline = time.monotonic() + 5
    while alive(orphan) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(orphan)
    assert alive(child)
    running.kill()
    running.wait()
    subprocess.run([sys.executable, "-c", "from infra.processes import end_orphans; end_orphans()"], check=True)
    for process in (killed, running):
        process.stdout.close()


ENDS_ORPHANS = "from infra.processes import end_orphans; end_orphans()"
LEAVES_ONE = (
    "import subprocess, sys; from infra.processes import end_orphans; end_orphans();"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'], start_new_session=True,"
    " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid, flush=True)"
)


def ended_after(pid, environment):
    subprocess.run([sys.executable, "-c", ENDS_ORPHANS], check=True, env=environment)
    deadline = time.monotonic() + 2
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_orphans_of_another_store_are_left_alone(tmp_path):
    """They end by a command on their own store."""
    ours, others = (os.environ | {"SCRIPTORIUM_ARTIFACTS": str(tmp_path / name)} for name in ("a", "b"))
    left = int(subprocess.run([sys.executable, "-c", LEAVES_ONE], check=True, env=ours, capture_output=True).stdout)
    try:
        assert not ended_after(left, others)
        assert not ended_after(left, others | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
        assert ended_after(left, ours)
    finally:
        if alive(left):
            os.kill(left, signal.SIGKILL)


def test_processes_of_another_pid_namespace_are_left_alone():
    """There ids name other processes: what lives there looks from here as if its owner had died."""
    mark = f"{os.getpid()}-{time.monotonic_ns()}"

    def marked():
        found = set()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"NAMESPACE_OF_THIS_TEST={mark}".encode() in path.read_bytes().split(b"\0"):
                    found.add(int(path.parent.name))
        return found

    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no namespaces")
    code = (
        "import subprocess, sys; from infra.processes import end_orphans; end_orphans();"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)']);"
        "print('ready', flush=True); child.wait()"
    )
    mounted = [*inside, "--mount-proc", sys.executable, "-c", code]
    outer = subprocess.Popen(
        mounted, env=os.environ | {"NAMESPACE_OF_THIS_TEST": mark}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert outer.stdout.readline() == "ready\n"
        before = marked()
        assert len(before) >= 2  # the command there and what it started, seen from here
        subprocess.run([sys.executable, "-c", ENDS_ORPHANS], check=True)
        time.sleep(0.5)
        assert before <= marked()
    finally:
        for pid in marked():
            os.kill(pid, signal.SIGKILL)
        outer.kill()
        outer.wait()
        outer.stdout.close()


@pytest.mark.parametrize("mark", ["1:1", "garbage", "a:b", "1:1@elsewhere/pid:[1]/0", "9" * 5000 + ":1"])
def test_a_mark_that_is_not_ours_ends_nothing(mark):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={OWNER: mark})
    try:
        subprocess.run([sys.executable, "-c", ENDS_ORPHANS], check=True)
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
