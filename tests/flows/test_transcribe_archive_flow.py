"""The command `transcribe-archive`: whole, killed by force amid its work and begun again, refused, only estimated."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from untrained import CTC, bundle_of

from flows import transcribe_archive
from flows.shared.archive_plan import plan_archive
from flows.shared.audio_files import EXTENSIONS
from flows.shared.command_line import start_flow
from infra import storage
from infra.errors import UserError
from tasks.archives.output_store import OF_A_RUN
from tasks.archives.plan_work import plan_work
from tasks.archives.run_parts import ArchiveRun
from tasks.steps.in_process import run_in_process

COMMAND = [sys.executable, "-m", "flows.transcribe_archive"]


@pytest.fixture
def folder(tmp_path):
    """Recordings of half a second to some, and what is none."""
    top = tmp_path / "in"
    top.mkdir()
    for k in range(24):
        random, size = np.random.default_rng(k), 4000 + 3000 * (k % 5)
        loud = np.interp(np.arange(size), np.linspace(0, size, 12), random.random(12))
        suffix = ("wav", "flac", "ogg")[k % 3]
        soundfile.write(top / f"{k:02}.{suffix}", 0.3 * loud * random.standard_normal(size), (8000, 16000)[k % 2])
    (top / "broken.wav").write_bytes(b"RIFF....WAVEfmt ")
    (top / "notes.txt").write_text("no sound")
    return top


@dataclass
class Command:
    """It says what it says to files: what it leaves behind when it is killed would keep pipes open."""

    place: Path
    process: subprocess.Popen

    def ended(self, status):
        assert self.process.wait(280) == status, self.told("err")
        return self.told("out"), self.told("err")

    def told(self, name):
        return self.place.with_suffix(f".{name}").read_text()


@pytest.fixture
def command(tmp_path):
    def start(*arguments):
        place = tmp_path / f"command-{len(list(tmp_path.glob('command-*')))}"
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "SCRIPTORIUM_CORES": "2",
            "PYTHONWARNINGS": "ignore",
        }
        with place.with_suffix(".out").open("w") as out, place.with_suffix(".err").open("w") as err:
            return Command(place, subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=out, stderr=err, env=env))

    return start


def results(out):
    names = (name for name in storage.list_files(str(out)) if name not in OF_A_RUN and not name.startswith("."))
    return {name: storage.read(storage.join(str(out), name)) for name in names}


def uninterrupted(folder, place, setting):
    """The results of a run in this process, without Ray."""
    plan, job, store = plan_archive(bundle_of(CTC).uri, str(place), ("parquet", "srt"), [setting])
    with run_in_process():
        store.open()
        work = plan_work(store, str(folder), EXTENSIONS, plan.parts)
        work.freeze(store)
        ArchiveRun(job, store, 1)(list(work.parts.values()), 1.0)
        store.finish()
    return results(place)


def test_ended_and_begun_again_it_is_the_same(artifact_root, folder, tmp_path, command):
    """By SIGTERM amid its work; what was committed is gone from the source when it is begun again."""
    settings = "parts.max_files=2"
    arguments = ("--source", folder, "--model", bundle_of(CTC).uri, "--formats", "parquet,srt", "--set", settings)
    expected, out = uninterrupted(folder, tmp_path / "whole", settings), tmp_path / "out"
    run = command(*arguments, "--output", out, "--workers", 2)
    while len(list(out.glob("parts/*.json"))) < 3:
        assert run.process.poll() is None, run.told("err")
        time.sleep(0.05)
    run.process.terminate()
    assert "goes on where this one stopped" in run.ended(130)[1].splitlines()[-1]
    assert not (out / "manifest.json").exists()
    for note in sorted(out.glob("parts/*.json")):
        for name in json.loads(note.read_text())["files"]:
            if name.startswith("srt/"):
                (folder / name.removeprefix("srt/").removesuffix(".srt")).unlink()
    told, _ = command(*arguments, "--output", out, "--json").ended(0)
    assert results(out) == expected
    found = json.loads(told.splitlines()[-1])
    assert found["parts_resumed"] >= 3
    assert (found["counts"]["files"], found["counts"]["quarantined"], found["parts"]) == (25, 1, 13)


@pytest.fixture
def run(run_archive_command):
    return partial(run_archive_command, transcribe_archive)


def test_what_cannot_be_is_one_line_and_an_estimate_writes_nothing(artifact_root, folder, tmp_path, run):
    out, given = tmp_path / "out", ("--model", bundle_of(CTC).uri, "--dry-run", "--source")
    several = [
        ((folder, "--output", out, "--formats", "doc"), 2, "--formats doc: write some of"),
        ((tmp_path / "no", "--output", out), 1, "no such file, folder or pattern"),
        ((folder, "--output", folder), 1, "give an empty --output"),
        ((folder, "--output", ""), 1, "output '': give a folder or s3:// prefix"),
        (("", "--output", out), 1, "the source is empty"),
        ((folder, "--output", out, "--workers", 99), 2, "workers 99: this machine has 2"),
        ((folder, "--output", out, "--set", "error_budget=2"), 1, "error_budget is a share, from 0 to 1"),
    ]
    for arguments, status, says in several:
        ended, _, err = run(*given, *arguments)
        (line,) = err.strip().splitlines()
        assert (ended, says in line) == (status, True), line
    cost = ("--workers", 2, "--cost-per-hour", 36000)
    assert "1 .txt" in run(*given, folder, "--output", out, *cost)[1]
    found = json.loads(run(*given, folder, "--output", out, *cost, "--json")[1])
    assert (found["files"], found["parts"], found["ignored"]) == (25, 1, {".txt": 1})
    lengths = [soundfile.info(path).duration for path in folder.glob("[0-9]*.*")]
    assert found["seconds"] == pytest.approx(sum(lengths), rel=0.02)
    assert found["cost"] == pytest.approx(found["hours"] * 2 * 36000)
    assert not out.exists()


@pytest.mark.parametrize("given", [{"source": "/in/\udcff"}, {"settings": ("a=1", "lm=/\udce9.arpa")}])
def test_a_path_that_prefect_cannot_keep_is_one_line(given):
    with pytest.raises(UserError, match=r"(source|settings) .*\\x(ff|e9).*: is not UTF-8; name the folder above it"):
        start_flow(None, given)
