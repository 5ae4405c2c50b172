"""Samples of the shards on a page: a clip to play, a text to read."""

import io
from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import soundfile
import torch
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.audio.audio_io import decode_clip
from tasks.features.front_end import resampler
from tasks.ingest.shard_format import TEXT, read_sample
from tasks.ingest.shard_index import shard_file
from tasks.reports.html_page import to_base64

NO_SOUND = {TEXT, "mfc"}  # what has nothing to hear
SAMPLE_RATE = 16000
BYTES_A_SECOND = 4000  # 32 kbit/s: speech as clear as it was
# MP3, which every browser plays, and which of the same samples is the same bytes. The level counts down from 160 to
# 8 kbit/s, libsndfile's range at this sample rate.
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 128 / 152}
LONGEST_TEXT = 2000  # characters; of a longer one the beginning is shown
Row = dict[str, Any]


def find_samples(shards: Artifact, keys: Collection[str]) -> dict[str, Row]:
    """The rows of the index that say where the samples with these keys lie, by key."""
    if not keys:  # of which Arrow knows no type
        return {}
    columns = ["key", "shard", "offset", "size", "extension"]
    table = pq.read_table(shards.file("index.parquet"), columns=columns, filters=[("key", "in", list(keys))])
    return {row["key"]: row for row in table.to_pylist()}


def read_content(shards: Artifact, row: Row) -> bytes:
    """The clip or the text of a row of the index."""
    return read_sample(read_region(shards, row)).data


def read_region(shards: Artifact, row: Row) -> bytes:
    """The bytes of a row's sample in its shard."""
    with shard_file(shards, row["shard"]).open("rb") as file:
        file.seek(row["offset"])
        return file.read(row["size"])


def compress_clip(data: bytes, extension: str) -> bytes:
    """A clip's bytes as MP3 of 16 kHz and one channel, BYTES_A_SECOND long. Raises BadClip."""
    wave, rate = decode_clip(data, extension)
    if rate != SAMPLE_RATE:
        wave = resampler(rate, SAMPLE_RATE)(torch.from_numpy(wave)).numpy()
    out = io.BytesIO()
    soundfile.write(out, np.clip(wave, -1, 1), SAMPLE_RATE, **MP3)
    return out.getvalue()


def render_sample(shards: Artifact, key: str) -> Markup:
    """HTML; empty for what is neither sound nor text."""
    row = find_samples(shards, [key])[key]
    if row["extension"] == TEXT:
        text = read_content(shards, row).decode()
        cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}\u2026"
        return Markup('<div dir="auto" class="sample">{}</div>').format(cut)
    if row["extension"] in NO_SOUND:
        return Markup("")
    sound = to_base64(compress_clip(read_content(shards, row), row["extension"]))
    player = Markup('<audio controls preload="none" aria-label="Utterance {}" src="data:audio/mpeg;base64,{}"></audio>')
    return player.format(key, sound)
