"""Recordings of an archive: the text that a recognizer says of each alone, each frame's fate, what is broken."""

import os
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from archives.conftest import contents, rows, store_at
from untrained import CTC, bundle_of, loaded

from infra import storage
from tasks.archives import transcribe_parts
from tasks.archives.evaluate_archive import evaluate_archive
from tasks.archives.find_files import find_files
from tasks.archives.plan_work import plan_work
from tasks.archives.report_archive import TooManyFailures, report_archive, text_summary
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.transcribe_parts import TranscriptionJob
from tasks.archives.work_list import PartConfig
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import bundle_front_end
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.steps.in_process import run_in_process
from tasks.transcription.transcribe_audio import Transcriber, TranscriptionConfig
from tasks.transcription.windows import WindowConfig

SUFFIXES = {"wav", "flac", "ogg", "mp3"}
CONFIG = TranscriptionConfig(
    windows=WindowConfig(max_seconds=2, overlap_seconds=0.5), batching=BatchingConfig(frames_per_batch=300)
)
FORMATS = ("parquet", "jsonl", "srt", "vtt", "ctm", "txt")


def noise(seconds, seed, rate):
    random, n = np.random.default_rng(seed), round(seconds * rate)
    loud = np.interp(np.arange(n), np.linspace(0, n, round(12 * seconds) + 2), random.random(round(12 * seconds) + 2))
    return 0.3 * loud * random.standard_normal(n)


@pytest.fixture
def recordings(tmp_path):
    """Of several lengths, rates, formats and channels."""
    top = tmp_path / "in"
    top.mkdir()
    for k, (name, rate) in enumerate(
        {"a.wav": 8000, "b.flac": 16000, "c.ogg": 22050, "d.mp3": 44100, "e.wav": 16000}.items()
    ):
        soundfile.write(top / name, noise(0.4 + 2.3 * k, k, rate), rate)
    soundfile.write(top / "stereo.wav", np.stack([noise(3, 8, 16000), noise(3, 9, 16000)], 1), 16000)
    return top


def run(job, source, output, identity=None):
    store = store_at(output, **(identity or {}))
    with run_in_process(), store.hold():
        store.open()
        work = plan_work(store, str(source), SUFFIXES, PartConfig(max_files=4))
        work.freeze(store)
        summary = ArchiveRun(job, store, 1)(list(work.parts.values()), 1.0)
        return report_archive(store, work, summary, 0.3)


@pytest.fixture
def job(artifact_root):
    return TranscriptionJob(bundle=bundle_of(CTC), config=CONFIG, formats=FORMATS, decoding="d")


def test_as_each_alone(job, recordings, tmp_path):
    result = run(job, recordings, tmp_path / "out")
    transcriber = Transcriber(loaded(CTC), CONFIG)
    segments, coverage = rows(tmp_path / "out", "transcripts"), rows(tmp_path / "out", "coverage")
    for row in rows(tmp_path / "out", "files"):
        (alone,) = transcriber([row["file"]])
        mine = [s for s in segments if s["file"] == row["file"]]
        assert [s["text"] for s in mine] == [s.text for s in alone.segments]
        assert [w["text"] for s in mine for w in s["words"]] == [w.text for w in alone.words]
        assert [w["start"] for s in mine for w in s["words"]] == [w.start for w in alone.words]
        assert (row["status"], row["sha256"], row["seconds"]) == ("transcribed", alone.sha256, alone.seconds)
        reached = 0
        for interval in (i for i in coverage if i["file"] == row["file"]):
            assert interval["begin"] == reached
            reached = interval["end"]
        assert reached == row["frames"] == soundfile.info(row["file"]).frames
    counts = result["counts"]
    assert (counts["files"], counts["quarantined"]) == (6, 0)
    assert counts["decoded_seconds"] == pytest.approx(counts["seconds"])
    assert {s["model"] for s in segments} == {job.bundle.digest}
    written = contents(tmp_path / "out")
    for how in FORMATS[1:]:
        assert len([name for name in written if name.startswith(f"{how}/")]) == 6
    texts = {path: " ".join(s["text"] for s in segments if s["file"] == path) for path in {s["file"] for s in segments}}
    text = "".join(f"{path}\t{said}\n" for path, said in texts.items())
    (tmp_path / "r.tsv").write_text(text)
    assert evaluate_archive(str(tmp_path / "out"), str(tmp_path / "r.tsv"), ScoringConfig(resamples=9))["wer"] == 0


def test_a_folder_called_as_a_file_that_is_written(job, tmp_path):
    top = tmp_path / "in"
    for name in ("a.wav", "a.wav.srt/b.wav", "a.wav.srt_/b.wav", "a.wav.JSONL/b.wav"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(top / name, noise(0.5, 1, 16000), 16000)
    run(job, top, tmp_path / "out")
    written = contents(tmp_path / "out")
    for how in FORMATS[1:]:
        assert len([name for name in written if name.startswith(f"{how}/")]) == 4


def test_long_members_of_archives_are_not_held_in_memory(job, recordings, tmp_path, monkeypatch):
    """They come to what they come to as files, what is wrong with them too."""
    whole = (recordings / "e.wav").read_bytes()
    (recordings / "half.wav").write_bytes(whole[: len(whole) // 2])
    (recordings / "no sound.wav").write_bytes(b"RIFF....WAVEfmt " + bytes(9000))
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        for path in recordings.iterdir():
            tar.add(path, path.name)
    read, largest = storage.read, []
    monkeypatch.setattr(transcribe_parts, "COPIED_BYTES", 5000)
    monkeypatch.setattr(transcribe_parts.storage, "read", lambda *where: largest.extend(where[2:]) or read(*where))
    found, front_end = [], bundle_front_end(job.bundle)
    for place in (recordings, tmp_path / "in.tar"):
        items = find_files(str(place), SUFFIXES).items
        files = {}
        for item in items:
            windows = list(transcribe_parts.read_windows(item, (front_end, CONFIG), told := {}, ""))
            files[item.name.rpartition("/")[2]] = told | {"frames heard": [len(one.features) for one in windows]}
        found.append(files)
    assert found[0] == found[1]
    assert found[0]["half.wav"]["reason"] == "truncated"
    assert max(largest) <= 5000 < len(whole)


def test_channels_apart(job, recordings, tmp_path):
    apart = replace(job, config=replace(CONFIG, channels="separate"))
    run(apart, recordings / "stereo.wav", tmp_path / "out")
    found = rows(tmp_path / "out", "coverage")
    for channel in (0, 1):
        mine = [row for row in found if row["channel"] == channel]
        assert sum(row["end"] - row["begin"] for row in mine) == 3 * 16000
    texts = [" ".join(s["text"] for s in rows(tmp_path / "out", "transcripts") if s["channel"] == c) for c in (0, 1)]
    assert texts[0] != texts[1]


def test_what_is_broken_is_in_the_quarantine_and_the_others_are_as_before(job, recordings, tmp_path, capsys):
    """Also what changes, vanishes or may not be read after it was listed."""
    run(job, recordings, tmp_path / "good")
    (recordings / "no sound.wav").write_bytes(b"RIFF....WAVEfmt ")
    (recordings / "empty.mp3").write_bytes(b"")
    whole = (recordings / "e.wav").read_bytes()
    (recordings / "half.wav").write_bytes(whole[: len(whole) // 2])
    for name in ("grows.wav", "vanishes.wav"):
        (recordings / name).write_bytes(whole)
    store = store_at(tmp_path / "out")
    with run_in_process():
        store.open()
        work = plan_work(store, str(recordings), SUFFIXES, PartConfig())
        work.freeze(store)
    with (recordings / "grows.wav").open("ab") as file:
        file.write(b"more")
    os.remove(recordings / "vanishes.wav")
    with pytest.raises(TooManyFailures, match=r"^45.5% of the files failed, where error_budget allows 30.0%") as caught:
        run(job, recordings, tmp_path / "out")
    result = caught.value.result
    failed = {row["file"].rpartition("/")[2]: row["reason"] for row in rows(tmp_path / "out", "quarantine")}
    assert failed == {
        "no sound.wav": failed["no sound.wav"],
        "empty.mp3": "empty file",
        "half.wav": "truncated",
        "grows.wav": "changed since it was listed",
        "vanishes.wav": "gone since it was listed",
    }
    files = {row["file"].rpartition("/")[2]: row for row in rows(tmp_path / "out", "files")}
    assert files["half.wav"]["status"] == "partial"
    half = [r for r in rows(tmp_path / "out", "coverage") if r["file"].endswith("half.wav")]
    assert half[-1]["fate"] == "failed"
    assert half[-1]["end"] == files["half.wav"]["frames"]
    words = {(s["file"], s["start"]): s["text"] for s in rows(tmp_path / "out", "transcripts")}
    for row in rows(tmp_path / "good", "transcripts"):
        assert words[row["file"], row["start"]] == row["text"]
    assert result["counts"]["files"] == len(files) == 11
    assert "quarantine  5 files (45.45%)" in text_summary(result)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "changed since it was listed" in page
    assert "half.wav#t=" in page
