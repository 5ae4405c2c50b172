"""Every container against the number of samples that was written into it: cut, streamed, wrong, joined, damaged."""

import io
import struct

import numpy as np
import pytest
import soundfile

from tasks.audio import mpeg_frames
from tasks.audio.audio_io import BadClip, decode_clip
from tasks.audio.ogg_pages import checksum

SAMPLES, RATE = 24000, 8000
WAVE = (0.1 * np.random.default_rng(0).standard_normal(SAMPLES)).astype(np.float32)
ENCODED = [
    *(("WAV", s) for s in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "GSM610", "G721_32")),
    *(
        ("WAVEX", "PCM_16"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("W64", "ULAW"),
        ("CAF", "PCM_16"),
        ("CAF", "ALAC_16"),
    ),
    *(("AIFF", s) for s in ("PCM_16", "FLOAT", "ULAW", "GSM610")),
    *(("AU", "PCM_16"), ("AU", "ULAW"), ("AU", "G721_32"), ("NIST", "PCM_16"), ("NIST", "ULAW"), ("VOC", "PCM_16")),
    *(("SVX", "PCM_16"), ("AVR", "PCM_16"), ("MPC2K", "PCM_16"), ("WVE", "ALAW"), ("SDS", "PCM_16")),
    *(("MAT4", "PCM_16"), ("MAT5", "PCM_16")),
    *(("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]


def encoded(container, subtype=None, wave=WAVE, rate=RATE):
    out = io.BytesIO()
    soundfile.write(out, wave, rate, format=container, subtype=subtype)
    return out.getvalue()


def heard(data):
    """How many samples decode, or why none do."""
    try:
        return len(decode_clip(data, "audio")[0])
    except BadClip as bad:
        return bad.reason


def patched(data, place, field, value):
    return data[:place] + struct.pack(field, value) + data[place + struct.calcsize(field) :]


@pytest.mark.parametrize(("container", "subtype"), ENCODED)
def test_whole_is_whole_and_cut_is_truncated(container, subtype):
    data = encoded(container, subtype)
    assert SAMPLES <= heard(data) <= SAMPLES + (320 if subtype == "GSM610" else 0)  # a block more
    begin = data.find(b"SSND") + 16 if container == "AIFF" else len(data) // 4
    spare = container == "VOC" or subtype == "GSM610"  # a terminator, a byte to make the number even
    last = len(data) - 1 - spare
    for cut in (*np.linspace(begin, last, 12, dtype=int), last - 1):
        assert heard(data[:cut]) == "truncated", cut


@pytest.mark.parametrize(
    ("container", "subtype"), [e for e in ENCODED if e[0] not in {"MAT5", "SDS"} and e[1] != "GSM610"]
)
def test_tags_at_the_end_are_no_sound_and_a_second_recording_is_not_lost(container, subtype):
    data = encoded(container, subtype)
    assert heard(data + b"TAG" + bytes(125)) == SAMPLES
    assert heard(data + bytes(5000)) == SAMPLES
    assert heard(data + data) in {"joined", "truncated"}


PIPES = (0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFF1000, 0xFFFFFFDB, 0xFFFFFFFF)


@pytest.mark.parametrize("size", PIPES)
def test_what_a_pipe_wrote_is_read_to_its_end(size):
    wav = encoded("WAV")
    streamed = [patched(wav, 40, "<I", size), patched(patched(wav, 40, "<I", size), 4, "<I", size)]
    au = encoded("AU")
    streamed.append(patched(au, 8, ">I", size))
    aiff = encoded("AIFF")
    at, count = aiff.find(b"SSND") + 4, aiff.find(b"COMM") + 10
    streamed += [patched(aiff, at, ">I", size), patched(patched(aiff, at, ">I", size), count, ">I", size // 2)]
    wide = (1 << 64) - 1 if size == PIPES[-1] else size
    rf64, w64, caf = encoded("RF64"), encoded("W64"), encoded("CAF")
    streamed += [patched(rf64, rf64.find(b"ds64") + 16, "<Q", wide), patched(w64, w64.find(b"data") + 16, "<Q", wide)]
    streamed.append(patched(caf, caf.find(b"data") + 4, ">Q", wide))
    assert [heard(data) for data in streamed] == [SAMPLES] * len(streamed)
    np.testing.assert_allclose(decode_clip(streamed[0], "wav")[0], WAVE, atol=1e-4)


@pytest.mark.parametrize("samples", [0, 1, SAMPLES // 2, SAMPLES - 1])
def test_flac_is_as_long_as_its_last_frame_says(samples):
    flac = patched(encoded("FLAC"), 22, ">I", samples)
    assert heard(flac) == SAMPLES
    assert heard(b"ID3\x04\0\0\0\0\0\x10" + bytes(16) + flac) == SAMPLES
    assert {heard(flac[:cut]) for cut in range(len(flac) // 3, len(flac), 997)} == {"truncated"}


def test_headers_that_say_half_or_twice_lose_nothing_silently():
    half, twice = SAMPLES, 4 * SAMPLES
    for container, place, field, added in (
        ("WAV", lambda d: 40, "<I", 0),
        ("AU", lambda d: 8, ">I", 0),
        ("AIFF", lambda d: d.find(b"SSND") + 4, ">I", 8),
        ("RF64", lambda d: d.find(b"ds64") + 16, "<Q", 0),
        ("W64", lambda d: d.find(b"data") + 16, "<Q", 24),
        ("CAF", lambda d: d.find(b"data") + 4, ">Q", 4),
    ):
        data = encoded(container)
        assert [heard(patched(data, place(data), field, size + added)) for size in (half, twice)] == ["truncated"] * 2
    sphere, said = encoded("NIST"), str(SAMPLES).encode()
    assert heard(sphere.replace(said, b"12000")) == heard(sphere.replace(said, b"48000")) == "truncated"
    assert heard(sphere.replace(said, b"-1   ")) == SAMPLES
    flac = encoded("FLAC")
    assert heard(patched(flac, 22, ">I", 2 * SAMPLES)) == "truncated"


@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_chunks_after_the_sound_are_no_sound(container):
    order, data = ("<" if container == "WAV" else ">"), encoded(container)
    for chunk in (
        b"LIST" + struct.pack(f"{order}I", 26) + bytes(26),
        b"junk" + struct.pack(f"{order}I", 9000) + bytes(9000),
    ):
        assert heard(data + chunk) == SAMPLES
    assert heard(data + b"LIST" + struct.pack(f"{order}I", 900_000) + bytes(26)) == SAMPLES, "the sound is whole"


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_damage_in_the_middle_is_no_silence(container, subtype):
    data = encoded(container, subtype)
    for at in np.linspace(len(data) // 3, 2 * len(data) // 3, 7, dtype=int):
        assert heard(data[:at] + bytes(2048) + data[at + 2048 :]) == "damaged"
        assert heard(data[:at] + bytes(2048) + data[at:]) == "damaged"


def test_an_ogg_without_a_page_is_damaged_and_without_the_last_one_truncated():
    data = encoded("OGG", "VORBIS", np.tile(WAVE, 4))
    starts = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    assert len(starts) > 5
    for at, end in zip(starts, [*starts[1:], len(data)], strict=True):
        page = data[at:end]
        assert checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")
    assert heard(data[: starts[3]] + data[starts[4] :]) == "damaged"
    assert heard(data[: starts[-1]]) == "truncated"


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_is_as_long_as_its_frames_whatever_its_tag_says(rate, channels):
    wave = np.stack([WAVE] * channels, 1)
    data = encoded("MP3", None, wave, rate)
    frames = mpeg_frames.find_frames(data)
    assert frames.end == len(data)
    assert frames.announced == frames.counted
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    bare = data[frames.start + frames.tag :]
    for wrong in (bare, patched(data, tag + 8, ">I", 3), patched(data, tag + 8, ">I", frames.counted // 2)):
        assert SAMPLES <= heard(wrong) <= SAMPLES + mpeg_frames.TRIMMED  # and the encoder's delay
        assert heard(wrong[:-50]) == "truncated"
    assert heard(patched(data, tag + 8, ">I", 2 * frames.counted)) == "truncated"
    assert heard(bare + data) == heard(data + bare[:-1] + b"\0" + data) == "joined"
    assert heard(b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + bare + b"TAG" + bytes(125)) == heard(bare)


def test_frames_of_many_bit_rates_without_a_tag_are_all_heard():
    """As LAME's VBR: the quiet first second has small frames, by which a decoder estimates the length."""
    wave = np.concatenate([0.001 * WAVE[:8000], WAVE, WAVE])
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", 16000, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5) as file:
        file.write(wave)
    data = out.getvalue()
    frames = mpeg_frames.find_frames(data)
    assert len({data[at + 2] >> 4 for at in range(frames.start, frames.end) if mpeg_frames._chained(data, at)}) > 1
    assert len(wave) <= heard(data[frames.start + frames.tag :]) <= len(wave) + mpeg_frames.TRIMMED


@pytest.mark.parametrize(
    ("layer", "samples", "header"), [(1, 384, b"\xff\xff\x54\xc0"), (2, 1152, b"\xff\xfd\x54\xc0")]
)
def test_layers_one_and_two_are_followed_as_well(layer, samples, header):
    length, count = mpeg_frames.frame(header)
    assert count == samples
    silent = (header + bytes(length - 4)) * 20
    assert mpeg_frames.find_frames(silent).samples == 20 * samples
    assert heard(silent[:-5]) == "truncated"


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_far_beyond_full_scale_are_refused(subtype):
    assert heard(encoded("WAV", subtype, WAVE * 1e-42)) == SAMPLES, "denormal numbers are silence"
    assert heard(encoded("WAV", subtype, WAVE / np.abs(WAVE).max() * 4)) == SAMPLES
    for container in ("WAV", "AIFF", "CAF", "W64"):
        for scale in (1e30, 32768.0):
            assert heard(encoded(container, subtype, WAVE * scale)) == "beyond full scale"
