"""Ingest on the real corpora, where SCRIPTORIUM_CORPORA names the folder that holds them."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from small_corpora import summary

from infra.artifact_store import file_sha256
from tasks.audio.audio_io import decode_clip
from tasks.corpora.table_rows import unquote
from tasks.features.front_end import FrontEnd, extract_frames, given_frames

CORPORA = Path(os.environ.get("SCRIPTORIUM_CORPORA", "/nowhere"))
pytestmark = pytest.mark.skipif(not CORPORA.is_dir(), reason="SCRIPTORIUM_CORPORA is not set")

# kind, place, and the rows of each split where upstream's tables say so
KNOWN = [
    ("an4", "an4", {"train": 848, "dev": 100}),
    ("fsdd", "fsdd", {"train": 1200}),
    ("yesno", "yesno", {}),
    ("manifest", "en_samples", {}),
    ("commonvoice", "commonvoice_fa", {"train": 1838, "dev": 224}),
    ("commonvoice", "commonvoice_tw", {}),
    ("commonvoice", "commonvoice_rsample/en", {"train": 60, "dev": 20}),
    ("commonvoice", "commonvoice_rsample", {"train": 120, "dev": 40}),
]


@pytest.mark.parametrize(("kind", "place", "known"), KNOWN)
def test_every_row_is_in_a_shard_or_in_the_quarantine(kind, place, known, ingested):
    shards = ingested(f"{kind}:{CORPORA / place}")
    index = pq.read_table(shards.file("index.parquet"))
    bad = pq.read_table(shards.file("quarantine.parquet"))
    numbers = summary(shards)
    assert len(index) == sum(n["kept"] for n in numbers.values())
    assert len(bad) == sum(sum(n["rejected"].values()) for n in numbers.values())
    assert {split: numbers[split]["rows"] for split in known} == known
    assert all(n["rows"] == n["kept"] + sum(n["rejected"].values()) for n in numbers.values())
    assert len(set(index["key"].to_pylist())) == len(index)
    assert numbers["dev"]["kept"] > 0


@pytest.mark.parametrize("language", ["commonvoice_fa", "commonvoice_tw"])
def test_rows_of_the_tables_are_those_of_index_and_quarantine(language, ingested):
    """Row by row: clip, sentence and speaker of Common Voice's own tables, read without our reader."""
    root = CORPORA / language
    tables = [root / f"{split}.tsv" for split in ("train", "dev", "test") if (root / f"{split}.tsv").exists()]
    lines = [line.split("\t") for table in tables for line in table.read_text().splitlines()[1:]]
    columns = tables[0].read_text().splitlines()[0].split("\t")
    said = {f"clips/{row['path']}": row for row in (dict(zip(columns, line, strict=True)) for line in lines)}
    assert len(said) == len(lines), "no clip is listed twice"
    shards = ingested(f"commonvoice:{root}")
    kept = {row["source"]: row for row in pq.read_table(shards.file("index.parquet")).to_pylist()}
    rejected = set(pq.read_table(shards.file("quarantine.parquet"))["source"].to_pylist())
    assert kept.keys() | rejected == said.keys()
    assert not kept.keys() & rejected
    for source, row in kept.items():
        assert row["speaker"] == said[source]["client_id"]
        assert row["text"] == unquote(said[source]["sentence"]).strip()
        assert row["sha256"] == file_sha256(root / source)


def test_twi_gets_a_dev_split_of_its_own(ingested):
    shards = ingested(f"commonvoice:{CORPORA}/commonvoice_tw")
    numbers = summary(shards)
    assert numbers["train"]["rows"] + numbers["dev"]["rows"] == 205
    assert 15 <= numbers["dev"]["kept"] <= 25
    assert shards.read_json("summary.json")["shared_with_train"]["dev"]["sentences"] == 0


def test_half_of_a_real_mp3_is_refused(ingested, tmp_path):
    root = tmp_path / "cv"
    (root / "clips").mkdir(parents=True)
    table = (CORPORA / "commonvoice_fa" / "train.tsv").read_text().splitlines()[:21]
    (root / "train.tsv").write_text("\n".join(table) + "\n")
    names = [line.split("\t")[1] for line in table[1:]]
    for i, name in enumerate(names):
        data = (CORPORA / "commonvoice_fa" / "clips" / name).read_bytes()
        (root / "clips" / name).write_bytes(data if i else data[: len(data) // 2])
    shards = ingested(f"commonvoice:{root}", error_budget=0.1)
    bad = pq.read_table(shards.file("quarantine.parquet")).to_pylist()
    assert [(row["source"], row["reason"]) for row in bad] == [(f"clips/{names[0]}", "truncated")]


def test_the_spectrum_of_cmus_cepstra_is_that_of_the_recordings():
    """Both smoothed to 13 cepstra; CMU's front end has pre-emphasis and lays its first frame one hop earlier."""
    given, made = FrontEnd(kind="given", bands=40), FrontEnd(window_ms=25.6, mels=40, low_hz=130, high_hz=6800)
    cosines = np.cos(np.pi * np.outer(np.arange(13), np.arange(40) + 0.5) / 40)
    for wav in sorted((CORPORA / "an4" / "wav").rglob("*.wav"))[:5]:
        cepstra, _ = decode_clip(Path(str(wav).replace("/wav/", "/feat/")).with_suffix(".mfc").read_bytes(), "mfc")
        spectrum = extract_frames(*soundfile.read(wav, dtype="float32"), made)[1 : len(cepstra) + 1]
        smooth, bands = given_frames(spectrum @ cosines.T / 40, given), given_frames(cepstra, given)[: len(spectrum)]
        for band in (5, 15, 25, 35):
            slope, _ = np.polyfit(smooth[:, band], bands[:, band], 1)
            assert 0.9 < slope < 1.1
            assert np.corrcoef(smooth[:, band], bands[:, band])[0, 1] > 0.95
