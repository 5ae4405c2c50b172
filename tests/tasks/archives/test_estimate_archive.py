"""An estimate: lengths as the headers have them, wherever a file lies; a file that kills its reader does not end it."""

import io
import zipfile

import numpy as np
import pytest
import soundfile
from archives.text_job import DEADLY, TextJob
from s3_servers import BUCKET
from untrained import CTC, bundle_of

from infra import storage
from tasks.archives import estimate_archive as estimates
from tasks.archives.estimate_archive import estimate_archive, header_seconds, text_estimate
from tasks.archives.find_files import find_files
from tasks.archives.plan_work import Work
from tasks.archives.transcribe_parts import TranscriptionJob
from tasks.archives.work_list import PartConfig, group_parts, number_parts
from tasks.transcription.transcribe_audio import TranscriptionConfig

SUFFIXES = {"wav", "flac", "ogg", "mp3", "txt"}


def sound(seconds, kind, rate=8000):
    out = io.BytesIO()
    wave = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
    soundfile.write(out, wave, rate, format=kind)
    return out.getvalue()


def work_on(source):
    found = find_files(str(source), SUFFIXES)
    return Work(str(source), group_parts(number_parts(found.items, 0, PartConfig(), ())), ignored=found.ignored)


def test_headers_wherever_they_lie(artifact_root, tmp_path, moto, monkeypatch):
    """On a server a header is read and not the file."""
    moto.use(monkeypatch)
    top, kinds = tmp_path / "in", {"a.wav": 3.0, "b.flac": 7.5, "c.ogg": 2.25, "d.mp3": 60.0}
    top.mkdir()
    with zipfile.ZipFile(top / "more.zip", "w") as packed:
        packed.writestr("e.wav", sound(1.5, "wav"))
    for name, seconds in kinds.items():
        data = sound(seconds, name[2:])
        (top / name).write_bytes(data)
        storage.write(f"s3://{BUCKET}/headers/{name}", data)
    for source in (top, f"s3://{BUCKET}/headers"):
        told = {item.name: header_seconds(item) for item in find_files(str(source), SUFFIXES).items}
        for name, seconds in kinds.items():
            assert told[name] == pytest.approx(seconds, abs=0.1)
    assert header_seconds(find_files(str(top / "more.zip"), SUFFIXES).items[0]) == pytest.approx(1.5)
    large = f"s3://{BUCKET}/headers/large.wav"
    storage.write(large, sound(600, "wav"))
    read, asked = storage.read, []
    monkeypatch.setattr(storage, "read", lambda uri, offset=0, size=None: asked.append(size) or read(uri, offset, size))
    assert header_seconds(find_files(large, SUFFIXES).items[0]) == pytest.approx(600)
    assert 0 < sum(asked) < 1 << 20


def test_hours_speed_and_cost(artifact_root, tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(4):
        (tmp_path / "in" / f"{k}.wav").write_bytes(sound(1 + k, "wav"))
    (tmp_path / "in" / "notes.md").write_text("x")
    job = TranscriptionJob(bundle=bundle_of(CTC), config=TranscriptionConfig(), formats=(), decoding="")
    told = estimate_archive(job, work_on(tmp_path / "in"), 2, 5.0)
    assert (told["files"], told["seconds"], told["ignored"]) == (4, pytest.approx(10), {".md": 1})
    assert told["audio_seconds_a_second"] > 0
    assert told["hours"] == pytest.approx(10 / told["audio_seconds_a_second"] / 3600)
    assert told["cost"] == pytest.approx(told["hours"] * 10)
    assert "audio       about 0.00 h" in text_estimate(told)


def test_what_a_decoder_thinks_of_a_damaged_file_is_not_shown(artifact_root, tmp_path, capfd):
    data = sound(60, "mp3")
    (tmp_path / "half.mp3").write_bytes(data[: len(data) // 2])
    header_seconds(find_files(str(tmp_path), SUFFIXES).items[0])
    assert "Xing" in capfd.readouterr().err, "else nothing is tested here"
    job = TranscriptionJob(bundle=bundle_of(CTC), config=TranscriptionConfig(), formats=(), decoding="")
    assert estimate_archive(job, work_on(tmp_path), 1, 0.0)["files"] == 1
    assert "Xing" not in capfd.readouterr().err


def test_a_file_that_kills_who_measures_it(artifact_root, tmp_path, capsys):
    (tmp_path / "a.txt").write_text(DEADLY["read"])
    told = estimate_archive(TextJob(), work_on(tmp_path), 1, 0.0)
    assert (told["files"], told["audio_seconds_a_second"]) == (1, 0.0)
    assert "a file of the sample ended the process that measured it" in capsys.readouterr().err
    assert estimates.estimate_archive(TextJob(), Work("", {}), 1, 0.0)["files"] == 0
