"""Blocks are the recording: any format, any channel, cut off or damaged, and what is missing is where it is missing."""

import hashlib
import io
import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st
from test_read_recording import container

from infra.errors import UserError
from tasks.audio import file_bytes
from tasks.audio.audio_blocks import open_audio
from tasks.audio.audio_io import decode_clip
from tasks.audio.file_bytes import FileBytes, FileBytesReader
from tasks.audio.live_audio_input import AudioInput
from tasks.audio.read_recording import read_recording

RATE = 8000


def noise(seconds, channels=1, seed=0):
    wave = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels))
    return wave.astype(np.float32)


def encoded(wave, kind="WAV", subtype=None):
    out = io.BytesIO()
    soundfile.write(out, wave, RATE, format=kind, subtype=subtype)
    return out.getvalue()


def read(audio, channels="mix"):
    """All that could be read at its place, NaN elsewhere; and the recording."""
    with open_audio(audio, channels) as opened:
        blocks = list(opened.read())
        whole = np.full((opened.frames, len(opened.channels)), np.nan, np.float32)
        reached = 0
        for begin, samples in blocks:
            assert reached <= begin
            reached = begin + len(samples)
            whole[begin:reached] = samples
        return whole, opened


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "W64", "AU", "RF64", "NIST"])
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_the_clip(tmp_path, kind, channels):
    data = encoded(noise(23.4, channels), kind)
    path = tmp_path / f"a.{kind.lower()}"
    path.write_bytes(data)
    expected, rate = decode_clip(data, kind.lower())
    for audio in (path, str(path), data):
        whole, opened = read(audio)
        np.testing.assert_array_equal(whole[:, 0], expected)
        assert (opened.rate, opened.frames, opened.flaw) == (rate, len(expected), "")
        assert opened.sha256 == hashlib.sha256(data).hexdigest()


def test_channels():
    wave = noise(1, 3)
    data = encoded(wave, subtype="FLOAT")
    np.testing.assert_array_equal(read(data, "separate")[0], wave)
    np.testing.assert_array_equal(read(data, 2)[0], wave[:, 2:])
    np.testing.assert_allclose(read(data)[0][:, 0], wave.mean(1), atol=1e-7)
    with pytest.raises(UserError, match=r"no such channel \(channel 3, counted from 0, of 3\)"):
        read(data, 3)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_header_that_a_pipe_has_written(size):
    wave = noise(12)
    data = bytearray(encoded(wave))
    data[40:44] = struct.pack("<I", size)
    whole, opened = read(bytes(data))
    np.testing.assert_allclose(whole, wave, atol=1e-4)
    assert not opened.flaw


@pytest.mark.parametrize(("kind", "channels"), [("WAV", 1), ("WAV", 2), ("W64", 1), ("FLAC", 1), ("AIFF", 2)])
def test_of_a_file_that_is_cut_off_the_rest_is_missing(kind, channels):
    wave = noise(30, channels)
    data = encoded(wave, kind)
    whole, opened = read(data[: len(data) * 2 // 3], "separate")
    assert "truncated" in opened.flaw
    assert opened.frames == len(wave), "as the header says"
    there = int(np.isfinite(whole[:, 0]).sum())
    assert 0.6 * len(wave) < there < 0.7 * len(wave)
    np.testing.assert_allclose(whole[:there], wave[:there], atol=1e-4)


@pytest.mark.parametrize("kind", ["FLAC", "MP3"])
def test_a_damaged_place_is_a_gap(kind):
    wave = noise(60)
    data = bytearray(encoded(wave, kind))
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    whole, opened = read(bytes(data))
    missing = np.flatnonzero(~np.isfinite(whole[:, 0]))
    assert opened.flaw.startswith("damaged")
    assert 0 < len(missing) < 4 * RATE
    assert 25 * RATE < missing[0] < 31 * RATE
    if kind == "FLAC":
        assert opened.frames == len(wave)
        kept = np.isfinite(whole[:, 0])
        np.testing.assert_allclose(whole[kept], wave[kept], atol=1e-4)


def test_numbers_that_are_none():
    wave = noise(25)
    wave[9 * RATE], wave[12 * RATE : 12 * RATE + 3] = np.nan, 1e30
    whole, opened = read(encoded(wave, subtype="FLOAT"))
    assert np.flatnonzero(~np.isfinite(whole[:, 0])).tolist() == [9 * RATE, *range(12 * RATE, 12 * RATE + 3)]
    assert "not finite" in opened.flaw
    assert "beyond full scale" in opened.flaw
    whole, opened = read(AudioInput(np.array([0.0, np.inf, 9.0], np.float32), RATE))
    assert np.isfinite(whole[:, 0]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "codec", "channels"), [("a.m4a", "aac", 1), ("c.webm", "libopus", 1), ("b.mp4", "aac", 2)]
)
def test_containers(tmp_path, name, codec, channels):
    path = container(tmp_path / name, codec, channels)
    expected = read_recording(str(path))
    whole, opened = read(path)
    np.testing.assert_allclose(whole[:, 0], expected.samples, atol=1e-6)
    assert opened.rate == expected.rate
    assert read(path, "separate")[0].shape[1] == channels
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    if name == "c.webm":
        whole, opened = read(path)
        assert "truncated" in opened.flaw
        assert 0.5 < np.isfinite(whole[:, 0]).mean() < 0.8


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.mka", "aac"), ("a.webm", "libopus")])
def test_bytes_in_a_container_that_look_like_another_format(tmp_path, name, codec):
    """Any file of some size holds what could be the header of an MPEG frame."""
    path = container(tmp_path / name, codec)
    expected, _ = read(path)
    frame = encoded(noise(1), "MP3")[-300:-100]
    box = struct.pack(">I4s", 8 + len(frame), b"free") if name == "a.m4a" else b"\xec" + bytes([0x40, len(frame)])
    path.write_bytes(path.read_bytes() + box + frame)
    found, opened = read(path)
    assert opened.flaw == ""
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(read_recording(str(path)).samples, expected[:, 0], atol=1e-6)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    for place in (tmp_path / "a.wav", tmp_path, "/dev/zero"):
        with pytest.raises(UserError, match="cannot be read .a folder, pipe or device; give a file"):
            read(place)


def test_a_recording_of_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    _, opened = read(tmp_path / "a.wav")
    assert (opened.frames, opened.flaw) == (0, "no samples")


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "empty file"), (b"this is text" * 99, "not audio"), (b"RIFF....WAVEfmt ", "")]
)
def test_what_is_no_sound(tmp_path, data, says):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.wav: .*{says}"):
        read(tmp_path / "a.wav")
    with pytest.raises(UserError, match=r"b\.wav: cannot be read"):
        read(tmp_path / "b.wav")


def test_a_file_that_changes_meanwhile(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(noise(30)))
    with open_audio(path) as opened:
        for _ in opened.read():
            path.write_bytes(path.read_bytes() + b"more")
        assert opened.flaw == "changed while it was read"


PART = st.binary(min_size=1, max_size=3)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), PART, st.integers(0, 90), st.integers(0, 90))
@example([bytes(3)], b"\x00", 1, 0)  # a slice that ends before it begins
def test_bytes_of_a_file_act_like_bytes(parts, sought, begin, end):
    whole = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("HELD", 8), ("BLOCK", 16), ("SMALL", 12)):
            patch.setattr(file_bytes, name, size)
        data = FileBytes(())
        for part in parts:
            data = data + part
        plain = [bytes(FileBytesReader(found).read()) if isinstance(found, FileBytes) else found for found in (
            data[begin:end], data[-begin:], data[:end], b"x" + data[3:],
        )]  # fmt: skip
        assert plain == [whole[begin:end], whole[-begin:], whole[:end], b"x" + whole[3:]]
        assert (len(data), data[begin:end:3]) == (len(whole), whole[begin:end:3])
        assert (data.find(sought), data.find(sought, begin, end)) == (
            whole.find(sought),
            whole.find(sought, begin, end),
        )
        assert data.rfind(sought, begin, end) == whole.rfind(sought, begin, end)
        assert data.count(0, begin) == whole.count(0, begin)
        assert data.startswith((sought, b"zz"), begin) == whole.startswith((sought, b"zz"), begin)
        assert [data[k] for k in range(len(whole))] == list(whole)
