"""The command `transcribe`: what a folder comes to, names that collide, files that are broken, one file to a pipe."""

import json
import sys

import numpy as np
import pytest
import soundfile
from untrained import CTC, TRANSDUCER, bundle_of

from flows.shared.audio_files import find_recordings
from flows.transcribe import main
from infra.errors import UserError


def clip(path, seconds=0.6, seed=0, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.2 * np.random.default_rng(seed).standard_normal(round(seconds * rate))
    soundfile.write(path, wave, rate)
    return path


@pytest.fixture
def folder(tmp_path):
    for k, name in enumerate(["a.wav", "a.flac", "b/a.wav", "b/it's 1 é.ogg", "c.v2.mp3"]):
        clip(tmp_path / "in" / name, 0.5 + 0.2 * k, k)
    (tmp_path / "in" / "broken.wav").write_bytes(b"RIFF....WAVEfmt ")
    (tmp_path / "in" / "empty.mp3").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("no sound")
    return tmp_path / "in"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["transcribe", *map(str, arguments)])
    main()


def test_a_folder(artifact_root, folder, tmp_path, monkeypatch, capsys):
    bundle, out = bundle_of(CTC), tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, folder, "--model", bundle.uri, "--out", out, "--format", "txt,json,srt,textgrid")
    assert ended.value.code == 1
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "in/" in line]
    assert sorted(line.strip().partition(": ")[0].rpartition("/")[2] for line in lines) == ["broken.wav", "empty.mp3"]
    names = ["a.flac", "a.wav", "b/a", "b/it's 1 é", "c.v2"]
    suffixes = (".txt", ".json", ".srt", ".TextGrid")
    written = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert written == {name + suffix for name in names for suffix in suffixes}
    told = json.loads((out / "b" / "it's 1 é.json").read_text())
    assert told["recording"] == "it's 1 é"
    assert told["seconds"] == pytest.approx(1.1)
    assert (out / "b" / "it's 1 é.txt").read_text().split() == [word["text"] for word in told["words"]]


def test_one_file_goes_to_standard_output(artifact_root, folder, monkeypatch, capfd):
    bundle = bundle_of(TRANSDUCER)
    run(monkeypatch, folder / "a.wav", "--model", bundle.uri, "--set", "beam.width=1", "--format", "json")
    greedy = json.loads(capfd.readouterr().out)
    run(monkeypatch, folder / "a.wav", "--model", bundle.uri, "--out", "-", "--format", "json")
    assert len(greedy["n_best"]) == 1 <= len(json.loads(capfd.readouterr().out)["n_best"])


def test_of_a_damaged_file_what_can_be_read_is_written(artifact_root, tmp_path, monkeypatch, capsys):
    """And what cannot is an interval of it, a line, and the exit status."""
    whole = clip(tmp_path / "whole.wav", 30.0).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, "--model", bundle_of(CTC).uri, "--out", tmp_path / "out", "--format", "json")
    assert ended.value.code == 1
    (line,) = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "cut.wav" in line]
    assert "cut.wav: truncated (" in line
    told = {name: json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("whole", "cut")}
    assert told["cut"]["seconds"] == told["whole"]["seconds"] == 30
    for name, flaw in (("whole", ""), ("cut", "truncated")):
        assert told[name]["flaw"].startswith(flaw)
        edges = [(interval["begin"], interval["end"]) for interval in told[name]["coverage"]]
        assert [0, *(end for _, end in edges)] == [*(begin for begin, _ in edges), 240_000]
    assert [interval["fate"] for interval in told["cut"]["coverage"]] == ["decoded", "failed"]
    assert told["cut"]["coverage"][1]["begin"] == pytest.approx(160_000, abs=50)


def test_channels(artifact_root, tmp_path, monkeypatch, capfd):
    wave = 0.2 * np.random.default_rng(0).standard_normal((8000, 2))
    soundfile.write(tmp_path / "a.wav", wave, 8000)
    soundfile.write(tmp_path / "right.wav", wave[:, 1], 8000)
    model = bundle_of(CTC).uri
    found = {}
    for how in ("mix", "separate", "1"):
        run(monkeypatch, tmp_path / "a.wav", "--model", model, "--set", f"channels={how}", "--format", "json")
        found[how] = json.loads(capfd.readouterr().out)
    run(monkeypatch, tmp_path / "right.wav", "--model", model, "--format", "json")
    assert [segment["channel"] for segment in found["separate"]["segments"]] == [0, 1]
    assert found["separate"]["segments"][1]["text"] == found["1"]["text"] == json.loads(capfd.readouterr().out)["text"]
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path / "a.wav", "--model", model, "--set", "channels=both", "--format", "json")
    assert "channels=both: mix, separate, or the number" in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "says"), [
    (["nowhere.wav"], "nowhere.wav: no such file, folder or pattern"),
    (["*.wav"], "*.wav: no file matches"),
    (["empty"], "empty: no recording in this folder"),
    (["a.wav", "--format", "doc"], "--format doc: write some of txt,json"),
    (["a.wav", "--format", "txt,srt"], "--out says the folder"),
    (["a.wav", "b.wav"], "--out says the folder"),
    (["a.wav", "--set", "windows.max_second=4"], "did you mean windows.max_seconds?"),
    (["a.wav", "--set", "windows.max_seconds=0"], "windows.max_seconds is at least 1"),
    (["a.wav", "--set", "beam.width=0"], "beam.width"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(artifact_root, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("a.wav", "b.wav"):
        if name in arguments:
            clip(tmp_path / name)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *arguments, "--model", bundle_of(CTC).uri)
    assert ended.value.code in {1, 2}
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_names_that_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x/a.wav", "y/a.wav", "y/A.flac", "y/.hidden.wav", "z/a.wav.ogg"):
        clip(tmp_path / name)
    found = find_recordings(["x/a.wav", "y", "./x/a.wav", "z/*.ogg"])
    assert [r.place.removeprefix(f"{tmp_path}/") for r in found] == ["x/a.wav", "y/A.flac", "y/a.wav", "z/a.wav.ogg"]
    assert [r.name for r in found] == ["a.wav", "A.flac", "a.wav_", "a.wav__"]
    assert [r.name for r in find_recordings(["*/a.wav"])] == ["x/a", "y/a"]
    odd = clip(tmp_path / "odd [1]*.wav")
    assert [r.place for r in find_recordings(["odd [1]*.wav"])] == [str(odd)]
    with pytest.raises(UserError, match="no such file"):
        find_recordings(["x/a.wav", "b.wav"])
