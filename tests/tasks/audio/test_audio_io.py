"""Decoding: what comes out of a clip, and what is said of a bad one."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tasks.audio.audio_io import BadClip, decode_clip, encode_wav, join_clips, piece_bounds
from tasks.audio.mpeg_frames import find_frames, follow_frames, frame

RATE = 16000
NOISE = (0.1 * np.random.default_rng(0).standard_normal((RATE, 2))).astype(np.float32)


def encoded(wave, container, rate=RATE, subtype=None):
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=container, subtype=subtype)
    return out.getvalue()


MP3 = encoded(NOISE[:, 0], "MP3")


def reason_of(data, extension, **limits):
    with pytest.raises(BadClip) as caught:
        decode_clip(data, extension, **limits)
    return caught.value.reason


@pytest.mark.parametrize(("container", "error"), [("WAV", 1e-4), ("FLAC", 1e-4)])
def test_waveform_is_the_mean_of_its_channels(container, error):
    wave, rate = decode_clip(encoded(NOISE, container), container.lower())
    assert (wave.dtype, wave.shape, rate) == (np.float32, (RATE,), RATE)
    assert np.abs(wave - NOISE.mean(1)).max() < error


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mpeg_frames_are_followed_to_the_end_of_the_file(rate, channels):
    data = encoded(NOISE[:, :channels], "MP3", rate)
    frames = find_frames(data)
    assert frames.end == len(data)
    assert 0 <= frames.samples - RATE < 4 * 1152  # the encoder's delay and padding
    tagged = find_frames(b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + data + b"TAG" + bytes(125))
    assert (tagged.end, tagged.samples) == (len(data) + 138, frames.samples)


@given(at=st.integers(0, 20_000), byte=st.integers(0, 255), cut=st.integers(0, 1000))
def test_frames_alike_are_followed_as_one_by_one(at, byte, cut):
    data = bytearray(MP3[: len(MP3) - cut])
    data[at % len(data)] = byte
    place, counted, kind = 0, 0, (data[1], data[2] >> 2 & 3, data[3] >> 6 == 3)
    while place <= len(data) - 4 and (found := frame(bytes(data[place : place + 4])))[0]:
        if kind[0] >> 1 != data[place + 1] >> 1 or kind[1:] != (data[place + 2] >> 2 & 3, data[place + 3] >> 6 == 3):
            break
        place, counted = place + found[0], counted + 1
    assert follow_frames(bytes(data), 0)[:2] == (place, counted)


@pytest.mark.parametrize("share", [0.31, 0.5, 0.77])
@pytest.mark.parametrize("container", ["MP3", "WAV", "FLAC"])
def test_truncated_clips_are_refused(container, share):
    data = encoded(NOISE[:, 0], container)
    assert reason_of(data[: int(len(data) * share)], container.lower()) == "truncated"


@pytest.mark.parametrize("container", ["MP3", "WAV", "FLAC"])
def test_a_clip_in_scratch_memory_shows_nothing_of_the_one_before(container):
    whole, short = (encoded(NOISE[:size, 0], container) for size in (RATE, RATE // 3))
    for data in (whole, short, whole):
        alone, there = decode_clip(data, container.lower()), decode_clip(data, container.lower(), scratch=True)
        assert np.array_equal(alone[0], there[0])
        expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
        assert np.allclose(there[0], expected, rtol=0, atol=1e-6)
    with pytest.raises(BadClip, match="truncated"):
        decode_clip(whole[: len(short) - 5], container.lower(), scratch=True)


def test_clips_that_are_none():
    assert reason_of(b"", "wav") == "empty file"
    assert reason_of(b"<html>not found</html>" * 50, "mp3") == "not audio"
    assert reason_of(bytes(4000), "mp3") == "not audio"
    assert reason_of(encoded(np.zeros(0, np.float32), "WAV"), "wav") == "no samples"
    assert reason_of(encoded(np.full(100, np.nan, np.float32), "WAV", subtype="FLOAT"), "wav") == "not finite"


def test_hours_are_refused_before_they_are_decoded(monkeypatch):
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", 8000, 1, format="FLAC") as file:
        for _ in range(180):
            file.write(np.zeros(8000 * 60, np.int16))
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("decoded"))
    assert reason_of(out.getvalue(), "flac", max_seconds=60.0) == "too long"


def test_sphinx_cepstra_in_either_byte_order():
    frames = np.arange(39, dtype=np.float32).reshape(3, 13)
    for order in "<>":
        data = struct.pack(f"{order}i", 39) + frames.astype(f"{order}f4").tobytes()
        found, rate = decode_clip(data, "mfc")
        assert rate == 100
        np.testing.assert_array_equal(found, frames)
    assert reason_of(data[:-8], "mfc") == "truncated"
    assert reason_of(b"\0\0", "mfc") == "not audio"
    assert reason_of(struct.pack(">i", 5) + bytes(20), "mfc") == "not audio"


def test_raw_samples_in_either_byte_order():
    wave = (8000 * np.sin(np.arange(4000) / 20)).astype(np.int16)
    for order in "<>":
        found, rate = decode_clip(wave.astype(f"{order}i2").tobytes(), "raw")
        assert rate == 16000
        np.testing.assert_allclose(found, wave / 32768, atol=1e-6)


def test_join_and_piece_bounds():
    one, two = np.ones(80, np.float32), np.full(40, 0.5, np.float32)
    joined = join_clips([one, two], (0, 10), 8000)
    np.testing.assert_array_equal(joined, np.concatenate([one, np.zeros(80), two]))
    assert piece_bounds((0.01, 0.005), len(joined), 8000) == (80, 120)
    assert piece_bounds((0.01, float("inf")), len(joined), 8000) == (80, 200)
    for outside in ((0.0, 3.0), (-0.01, 0.02), (0.025, 0.01), (1e9, float("inf")), (float("nan"), 1.0), (0.0, -1.0)):
        with pytest.raises(BadClip, match="outside"):
            piece_bounds(outside, len(joined), 8000)
    wave, rate = decode_clip(encode_wav(joined, 8000), "wav")
    assert rate == 8000
    np.testing.assert_allclose(wave, joined, atol=1e-4)
