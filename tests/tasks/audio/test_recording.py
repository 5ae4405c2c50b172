"""Pieces of long recordings: the same samples as of the whole, decoded once."""

import io
import json
import math

import numpy as np
import pytest
import soundfile
from small_corpora import index_of, reasons_of

from tasks.audio.audio_io import BadClip, decode_clip
from tasks.audio.recording import BLOCK_SECONDS, Recording
from tasks.ingest.shard_format import read_shard

RATE, SECONDS = 8000, 100
WAVE = (0.1 * np.random.default_rng(0).standard_normal(RATE * SECONDS)).astype(np.float32)


def encoded(container, wave=WAVE):
    out = io.BytesIO()
    soundfile.write(out, wave, RATE, format=container)
    return out.getvalue()


@pytest.fixture
def decoded(monkeypatch):
    """How many frames each read decodes."""
    counts, read = [], soundfile.SoundFile.buffer_read_into

    def counted(self, *arguments):
        counts.append(read(self, *arguments))
        return counts[-1]

    monkeypatch.setattr(soundfile.SoundFile, "buffer_read_into", counted)
    return counts


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3", "OGG"])
def test_pieces_are_those_of_the_whole_and_are_decoded_once(container, decoded):
    data = encoded(container)
    whole, _ = decode_clip(data, container.lower())
    decoded.clear()
    recording = Recording(data)
    for span in [(0.0, 1.5), (0.5, 2.0), (29.0, 3.0), (31.0, 0.25), (31.1, 60.0), (90.0, 5.0), (95.0, math.inf)]:
        piece, rate = recording.cut(span)
        start, stop = round(span[0] * RATE), len(whole) if span[1] == math.inf else round(sum(span) * RATE)
        np.testing.assert_array_equal(piece, whole[start:stop])
        assert (rate, len(recording.held) <= stop - start + BLOCK_SECONDS * RATE) == (RATE, True)
    assert sum(decoded) <= len(WAVE)
    np.testing.assert_array_equal(recording.cut((1.0, 1.0))[0], whole[RATE : 2 * RATE])
    for outside in ((-0.5, 1.0), (100.0, 1.0), (99.0, 2.0), (math.nan, 1.0), (1e9, math.inf)):
        with pytest.raises(BadClip, match="outside its file"):
            recording.cut(outside)
    with pytest.raises(BadClip, match="too long"):
        recording.cut((0.0, math.inf), 60.0)
    recording.close()


def test_damage_costs_the_pieces_that_it_is_in():
    data = bytearray(encoded("FLAC"))
    at = len(data) * 8 // 10
    data[at : at + 64] = bytes(64)
    recording = Recording(bytes(data))
    assert len(recording.cut((10.0, 5.0))[0]) == 5 * RATE
    with pytest.raises(BadClip, match="damaged"):
        recording.cut((79.0, 3.0))
    recording.close()


def test_one_job_has_the_pieces_of_a_recording_and_decodes_it_once(tmp_path, ingested, decoded):
    """In whatever order the manifest names them."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.mp3").write_bytes(encoded("MP3", WAVE if name == "one" else WAVE[::-1].copy()))
    pieces = [(name, start / 2) for start in range(0, 180, 2) for name in ("one", "two")]
    np.random.default_rng(0).shuffle(pieces)
    rows = [{"audio_filepath": f"{n}.mp3", "offset": float(s), "duration": 1.0, "text": f"{n} {s}"} for n, s in pieces]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "three.wav").write_bytes(encoded("WAV", WAVE[:RATE]))
    (tmp_path / "dev.jsonl").write_text(json.dumps({"audio_filepath": "three.wav", "text": "three"}) + "\n")
    shards = ingested(f"manifest:{tmp_path}", shard_mb=64.0)
    assert (len(index_of(shards)), reasons_of(shards)) == (181, {})
    assert sum(decoded) <= 2 * len(WAVE) + RATE
    whole = {name: decode_clip((tmp_path / f"{name}.mp3").read_bytes(), "mp3")[0] for name in ("one", "two")}
    for name in (name for name in shards.names(".tar") if name.startswith("train")):
        for sample in read_shard(shards.file(name)):
            of, start = sample.text.split()
            begin = round(float(start) * RATE)
            np.testing.assert_allclose(decode_clip(sample.data, "wav")[0], whole[of][begin : begin + RATE], atol=1e-4)


def test_the_channel_that_a_row_selects_is_heard(tmp_path, ingested):
    sides = np.stack([np.full(RATE, level, np.float32) for level in (0.1, 0.3, 0.5)], 1)
    for name in "abcdefgh":
        sides[0] = ord(name) / 500  # no two clips are the same
        (tmp_path / f"{name}.wav").write_bytes(encoded("WAV", sides))
    chosen = {"a": 1, "b": [0, 2], "c": "average", "d": None, "e": 2, "f": 3, "g": -1, "h": "left"}
    rows = [{"audio_filepath": f"{n}.wav", "text": n, "channel_selector": c} for n, c in chosen.items()]
    rows += [rows[0] | {"channel_selector": 0, "text": "a0"}, rows[0] | {"offset": 0.5, "duration": 0.5, "text": "cut"}]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shards = ingested(f"manifest:{tmp_path}", error_budget=0.5)
    heard = {}
    for name in shards.names(".tar"):
        for sample in read_shard(shards.file(name)):
            wave, _ = decode_clip(sample.data, sample.extension)
            heard[sample.text] = (round(float(wave[-100:].mean()), 2), len(wave))
    expected = {"a": 0.3, "b": 0.3, "c": 0.3, "d": 0.3, "e": 0.5, "a0": 0.1}
    assert heard == {name: (level, RATE) for name, level in expected.items()} | {"cut": (0.3, RATE // 2)}
    assert reasons_of(shards) == {"f.wav#3": "no such channel", "train.jsonl:7": "malformed row"} | {
        "train.jsonl:8": "malformed row"
    }
