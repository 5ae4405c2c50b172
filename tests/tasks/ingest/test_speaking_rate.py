"""Transcripts that are too long or too short for their audio."""

import json

import numpy as np
import pyarrow as pa
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import index_of, summary

from tasks.ingest.describe_corpus import describe_corpus
from tasks.ingest.speaking_rate import LONG, SHORT, fit_speaking_rate, log_rates

RATE = 8000


def table(texts, seconds):
    return pa.table({"text": texts, "seconds": seconds})


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.2), st.sampled_from([0.4, 3.0]))
def test_some_wrong_rows_are_found_and_do_not_hide_each_other(seed, spread, factor):
    random = np.random.default_rng(seed)
    seconds = random.uniform(2, 10, 100)
    counts = np.maximum(14 * seconds * np.exp(np.clip(spread * random.standard_normal(100), -0.3, 0.3)), 1).astype(int)
    wrong = random.choice(100, 8, replace=False)
    seconds[wrong] *= factor / np.exp(0.3 * np.sign(1 - factor))  # cut off, or more than what was said
    rows = table(["a " * count for count in counts], seconds)
    flags = fit_speaking_rate(log_rates(rows)).flags(rows)
    if spread < 0.1:
        assert {flags[i] for i in wrong} == {LONG if factor < 1 else SHORT}
    assert sum(map(bool, flags)) <= 8 + 2


def test_few_rows_and_texts_without_seconds_say_nothing():
    for rows in (table(["a"] * 9, [0.1, *[5.0] * 8]), table(["abc"] * 40, [0.0] * 40)):
        assert fit_speaking_rate(log_rates(rows)).flags(rows) == [""] * len(rows)


def test_ingest_flags_counts_and_keeps_them(tmp_path, ingested):
    """A container that cannot tell (headerless samples) with half of its audio, and a text that belongs to another."""
    random, rows = np.random.default_rng(0), []
    for i in range(30):
        wave = (3000 * random.standard_normal(2 * 16000 + 400 * i)).astype("<i2")
        if i == 4:
            wave = wave[: len(wave) // 2]
        (tmp_path / f"{i}.raw").write_bytes(wave.tobytes())
        text = "no" if i == 7 else f"number {i:02d} has so many characters"
        rows.append({"audio_filepath": f"{i}.raw", "text": text})
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    soundfile.write(tmp_path / "dev.wav", 0.1 * random.standard_normal(2 * RATE), RATE)
    dev = {"audio_filepath": "dev.wav", "text": "the one of dev has so many letters"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(dev) + "\n")
    shards = ingested(f"manifest:{tmp_path}")
    assert {row["source"]: row["flag"] for row in index_of(shards) if row["flag"]} == {"4.raw": LONG, "7.raw": SHORT}
    assert summary(shards)["train"]["flagged"] == {LONG: 1, SHORT: 1}
    assert summary(shards)["dev"]["flagged"] == {}
    told = {row["flag"]: (row["count"], row["first"]) for row in describe_corpus(shards, shards)["flagged"]}
    assert told == {LONG: (1, ["4.raw"]), SHORT: (1, ["7.raw"])}
