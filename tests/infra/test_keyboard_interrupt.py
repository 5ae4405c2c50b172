"""Ctrl-C ends a command in seconds, whatever it is waiting for, with what it started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flows
from infra.processes import Process, _status

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
    _, error = process.communicate(timeout=30)
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
        [sys.executable, "-m", "flows.train_asr", "--help"],
        **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
        env=os.environ | {"PYTHONPATH": places},
        cwd=tmp_path,
        text=True,
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == "scriptorium: interrupted\n"
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
