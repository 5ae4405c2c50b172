"""Corpora of a few tones, written for a test."""

import json

import numpy as np
import soundfile

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
