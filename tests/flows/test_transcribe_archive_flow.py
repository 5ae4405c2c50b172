"""The command `transcribe-archive`: whole, killed by force amid its work and begun again, refused, only estimated."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from untrained import CTC, bundle_of

from flows.shared.archive_plan import plan_archive
from flows.shared.audio_files import EXTENSIONS
from infra import storage
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


def command(*arguments):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], **how, env=os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "SCRIPTORIUM_CORES": "2", "PYTHONWARNINGS": "ignore"})  # fmt: skip


def ended(process, status):
    out, err = process.communicate(timeout=280)
    assert process.returncode == status, err
    return out, err


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


def test_killed_and_begun_again_it_is_the_same(artifact_root, folder, tmp_path):
    """Twice by force with all its processes, once by SIGTERM; from then on no committed part is read."""
    settings = "parts.max_files=2"
    arguments = ("--source", folder, "--model", bundle_of(CTC).uri, "--formats", "parquet,srt", "--set", settings)
    expected, out = uninterrupted(folder, tmp_path / "whole", settings), tmp_path / "out"
    for wanted, how in ((2, signal.SIGKILL), (5, signal.SIGTERM)):
        process = command(*arguments, "--output", out, "--workers", 2)
        while len(list(out.glob("parts/*.json"))) < wanted:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
        if how == signal.SIGTERM:
            assert process.returncode == 130
            assert "goes on where this one stopped" in err.splitlines()[-1]
        assert not (out / "manifest.json").exists()
    for note in sorted(out.glob("parts/*.json"))[:5]:
        for name in json.loads(note.read_text())["files"]:
            if name.startswith("srt/"):
                (folder / name.removeprefix("srt/").removesuffix(".srt")).unlink()
    told, _ = ended(command(*arguments, "--output", out, "--json"), 0)
    assert results(out) == expected
    found = json.loads(told.splitlines()[-1])
    assert found["parts_resumed"] >= 5
    assert (found["counts"]["files"], found["counts"]["quarantined"], found["parts"]) == (25, 1, 13)


def test_what_cannot_be_is_one_line_and_an_estimate_writes_nothing(artifact_root, folder, tmp_path):
    bundle = bundle_of(CTC).uri
    out = tmp_path / "out"
    several = [
        (
            ("--source", folder, "--output", out, "--model", bundle, "--formats", "doc"),
            2,
            "--formats doc: write some of",
        ),
        (("--source", tmp_path / "no", "--output", out, "--model", bundle), 1, "no such file, folder or pattern"),
        (("--source", folder, "--output", folder, "--model", bundle, "--dry-run"), 1, "give an empty --output"),
        (
            ("--source", folder, "--output", out, "--model", bundle, "--workers", 99),
            2,
            "workers 99: this machine has 2",
        ),
    ]
    for process, status, says in [(command(*arguments), status, says) for arguments, status, says in several]:
        _, err = ended(process, status)
        assert says in err.strip().splitlines()[-1]
        assert "Traceback" not in err
    given = (
        "--source",
        folder,
        "--output",
        out,
        "--model",
        bundle,
        "--workers",
        2,
        "--cost-per-hour",
        36000,
        "--dry-run",
    )
    told, _ = ended(command(*given, "--json"), 0)
    found = json.loads(told.splitlines()[-1])
    assert (found["files"], found["parts"], found["ignored"]) == (25, 1, {".txt": 1})
    lengths = [soundfile.info(path).duration for path in folder.glob("[0-9]*.*")]
    assert found["seconds"] == pytest.approx(sum(lengths), rel=0.02)
    assert found["cost"] == pytest.approx(found["hours"] * 2 * 36000)
    assert "audio       about 0.01 h" in told
    assert not out.exists()
