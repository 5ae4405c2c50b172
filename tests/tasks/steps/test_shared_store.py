"""What a store is for two commands at once, and for one whose S3 server goes away and comes back."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import staged_run
from s3_servers import BUCKET, KEY, SECRET, Server, await_server, free_port
from small_corpora import write_common_voice

TESTS = Path(__file__).parents[2]


def start(corpus, errors, budget="0.05", epochs="2", **environment):
    """errors: the file that stderr goes to."""
    path = os.pathsep.join([str(TESTS / "tasks"), str(TESTS), *sys.path])
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, staged_run.__file__, f"commonvoice:{corpus}", budget, epochs]
    with errors.open("wb") as out:
        return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path} | environment, stderr=out, **how)


def reach(process, stage):
    assert process.stdout.readline() == f"{stage}\n"


def go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def finished(process):
    """The line that names what was made."""
    made, _ = process.communicate("\n" * len(staged_run.STAGES), timeout=300)
    assert process.returncode == 0
    return made.splitlines()[-1]


def told(errors):
    return [line for line in errors.read_text().splitlines() if line.startswith("scriptorium: ")]


class Together(NamedTuple):
    """Two runs that began at the same moment: what each made, the root that they share, what they told."""

    made: list[str]
    root: Path
    told: list[str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_common_voice(tmp_path_factory.mktemp("corpus") / "cv")


@pytest.fixture(scope="module")
def together(corpus, tmp_path_factory):
    """Another budget is another step, but the draft of its shards is the same."""
    folder, budgets = tmp_path_factory.mktemp("together"), ("0.05", "0.1")
    root = {"SCRIPTORIUM_ARTIFACTS": str(folder / "artifacts")}
    both = [start(corpus, folder / budget, budget, **root) for budget in budgets]
    for process in both:
        reach(process, "ingest")
    for process in both:
        process.stdin.write("\n" * len(staged_run.STAGES))
        process.stdin.flush()
    made = [finished(process) for process in both]
    return Together(made, folder / "artifacts", [line for budget in budgets for line in told(folder / budget)])


def test_two_commands_with_two_error_budgets_on_one_corpus(together):
    assert together.made[0] == together.made[1]
    assert together.told
    assert all("is being made by another run" in line for line in together.told)
    assert not [path for path in (together.root / ".drafts").rglob("*") if path.is_file()]
    assert not list((together.root / ".locks").iterdir())


@pytest.fixture
def unsteady(tmp_path, monkeypatch):
    """An S3 server that `with away():` kills, and starts again at the end."""
    (tmp_path / "data" / BUCKET).mkdir(parents=True)
    port, log, running = free_port(), tmp_path / "log", []
    program = str(Path(sys.executable).with_name("rclone"))
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"]

    def up():
        with log.open("ab") as out:
            running.append(subprocess.Popen([*command, str(tmp_path / "data")], stdout=out, stderr=out))
        await_server(f"http://127.0.0.1:{port}", running[-1], log)

    def down():
        running[-1].kill()
        running[-1].wait()

    @contextmanager
    def away():
        down()
        yield
        up()

    up()
    Server(f"http://127.0.0.1:{port}").use(monkeypatch)
    yield away
    down()


def test_an_s3_server_that_goes_away_in_every_stage(unsteady, corpus, together, tmp_path):
    errors, seconds = tmp_path / "errors", float(os.environ.get("OUTAGE_SECONDS", "1"))
    remote = {"SCRIPTORIUM_ARTIFACTS": f"s3://{BUCKET}/root", "SCRIPTORIUM_CACHE": str(tmp_path / "cache")}
    disturbed = start(corpus, errors, **remote)
    for number, stage in enumerate(staged_run.STAGES):
        reach(disturbed, stage)
        with unsteady():
            go_on(disturbed)
            while len(told(errors)) < 2 * number + 1 and disturbed.poll() is None:
                time.sleep(0.1)
            time.sleep(seconds)
    assert finished(disturbed) == together.made[0]
    assert ["answers again" in line for line in told(errors)] == [False, True] * len(staged_run.STAGES)
