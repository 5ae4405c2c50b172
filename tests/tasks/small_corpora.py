"""Corpora of a few tones, written for a test."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import soundfile

from infra.artifact_store import open_draft
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus, IngestConfig
from tasks.corpora.utterance import SPLITS

COLUMNS = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accents", "locale", "segment")


def tone(number, seconds=0.4, sample_rate=8000):
    """A waveform that no other number gives."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * (200 + 7 * number) * time)).astype(np.float32)


def write_table(path, rows, columns=COLUMNS, end="\n", start=""):
    """Rows as dicts, what they lack empty."""
    lines = ["\t".join(columns), *("\t".join(row.get(c, "") for c in columns) for row in rows)]
    path.write_bytes((start + end.join(lines) + end).encode())


def rows_of(count, first=0, speakers=3, name="s"):
    return [
        {"client_id": f"{name}{i % speakers}", "path": f"clip_{i}.wav", "sentence": f"Sentence number {i}."}
        for i in range(first, first + count)
    ]


def write_common_voice(root, train=12, dev=3, test=3):
    """A Common Voice folder with all splits; clip_<i>.wav holds tone(i)."""
    (root / "clips").mkdir(parents=True)
    first = 0
    for split, count in (("train", train), ("dev", dev), ("test", test)):
        write_table(root / f"{split}.tsv", rows_of(count, first, name=split))
        for i in range(first, first + count):
            soundfile.write(root / "clips" / f"clip_{i}.wav", tone(i), 8000)
        first += count
    return root


def summary(shards):
    return json.loads(shards.read("summary.json"))["splits"]


def index_of(shards):
    return pq.read_table(shards.file("index.parquet")).to_pylist()


def quarantine_of(shards):
    return pq.read_table(shards.file("quarantine.parquet")).to_pylist()


def reasons_of(shards):
    return {row["source"]: row["reason"] for row in quarantine_of(shards)}


def bad_rows(root):
    """Rows that cannot be used, with the reason each should get."""
    clips_of = root / "clips"
    mp3 = io.BytesIO()
    soundfile.write(mp3, tone(99, 2.0, 16000), 16000, format="MP3")
    made = {
        "zero.wav": (b"", "empty file"),
        "text.mp3": (b"this is no audio\n" * 40, "not audio"),
        "half.mp3": (mp3.getvalue()[: len(mp3.getvalue()) // 2], "truncated"),
    }
    for name, (content, _) in made.items():
        (clips_of / name).write_bytes(content)
    soundfile.write(clips_of / "hours.flac", np.zeros(8000 * 3 * 3600, np.int16), 8000)
    soundfile.write(clips_of / "short.wav", tone(98, 0.05), 8000)
    shutil.copy(clips_of / "clip_15.wav", clips_of / "again.wav")  # a clip of test
    rows = [{"client_id": "x", "path": name, "sentence": "Some words."} for name in made]
    expected = {f"clips/{name}": reason for name, (_, reason) in made.items()}
    for name, reason in (
        ("gone.wav", "missing clip"),
        ("hours.flac", "too long"),
        ("short.wav", "too short"),
        ("again.wav", "duplicate clip"),
    ):
        rows.append({"client_id": "x", "path": name, "sentence": "More words."})
        expected[f"clips/{name}"] = reason
    for i, sentence in enumerate(("", "   ", "\u00a0 ")):
        soundfile.write(clips_of / f"mute{i}.wav", tone(60 + i), 8000)
        rows.append({"client_id": "x", "path": f"mute{i}.wav", "sentence": sentence})
        expected[f"clips/mute{i}.wav"] = "empty transcript"
    return rows, expected


def read(verb, reader, place, splits=SPLITS, **options):
    """What a reader says of a place, without opening a clip."""
    source = open_corpus(Corpus(kind="any", uri=str(place)), open_draft("shards", "test"))
    return list(getattr(reader, verb)(source, IngestConfig(**options), splits))
