"""What libsndfile does not know is read through FFmpeg where that is there, and named in a line where it is not."""

import io

import numpy as np
import pytest
import soundfile

from infra.errors import UserError
from tasks.audio import read_recording as module
from tasks.audio.read_recording import read_recording

RATE = 48000


def chirp(seconds=1.5):
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)).astype(np.float32)


def container(path, codec, channels=1):
    """A file that FFmpeg has written."""
    av = pytest.importorskip("av")
    wave, layout = chirp(), "stereo" if channels == 2 else "mono"
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, layout=layout)
        for at in range(0, len(wave), 1024):
            samples = np.stack([wave[at : at + 1024]] * channels)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = RATE, at
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec", "channels"), [
    ("a.m4a", "aac", 1), ("b.mp4", "aac", 2), ("c.webm", "libopus", 1), ("d.mov", "aac", 1), ("e.mkv", "flac", 2),
    ("called.wav", "aac", 1),
])  # fmt: skip
def test_containers(tmp_path, name, codec, channels):
    suffix = "m4a" if name == "called.wav" else name.rpartition(".")[2]
    path = container(tmp_path / f"x.{suffix}", codec, channels).rename(tmp_path / name)
    found = read_recording(str(path))
    assert found.rate == RATE
    assert found.samples.dtype == np.float32
    assert found.seconds == pytest.approx(1.5, abs=0.1)
    best = max(
        np.corrcoef(chirp()[4000:60000], found.samples[4000 + lag : 60000 + lag])[0, 1] for lag in (0, 1024, 2048)
    )
    assert best > 0.95


def test_a_container_that_is_cut_off(tmp_path):
    path = container(tmp_path / "a.webm", "libopus")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"a\.webm: truncated"):
        read_recording(str(path))


def test_what_is_no_sound(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"this is text" * 100)
    if module.find_spec("av"):
        with pytest.raises(UserError, match=r"a\.m4a: not audio \("):
            read_recording(str(tmp_path / "a.m4a"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"a\.m4a: not audio .*need PyAV: pip install 'scriptorium\[containers\]'"):
        read_recording(str(tmp_path / "a.m4a"))
    with pytest.raises(UserError, match=r"b\.m4a: cannot be read"):
        read_recording(str(tmp_path / "b.m4a"))


def test_the_rest_is_libsndfile_s(tmp_path):
    out = io.BytesIO()
    soundfile.write(out, chirp(), RATE, format="FLAC")
    (tmp_path / "a.flac").write_bytes(out.getvalue())
    assert np.allclose(read_recording(str(tmp_path / "a.flac")).samples, chirp(), atol=1e-4)
