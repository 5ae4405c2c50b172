"""Ingest on the real corpora, where SCRIPTORIUM_CORPORA names the folder that holds them."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import summary  # type: ignore[import-not-found]

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
