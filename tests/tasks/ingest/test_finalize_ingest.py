"""What cannot be used is in the quarantine by name and reason; beyond its budget a run fails."""

import pyarrow.parquet as pq
import pytest
from small_corpora import bad_rows, index_of, quarantine_of, reasons_of, rows_of, summary, write_table

from infra.artifact_store import file_sha256
from infra.errors import UserError
from tasks.ingest import ingest_corpus


def test_what_cannot_be_used_is_in_the_quarantine(common_voice, ingested):
    rows, expected = bad_rows(common_voice)
    write_table(common_voice / "train.tsv", rows_of(12) + rows)
    shards = ingested(f"commonvoice:{common_voice}", error_budget=0.5)
    assert reasons_of(shards) == expected
    numbers = summary(shards)["train"]
    assert numbers["rows"] == 12 + len(rows)
    assert numbers["kept"] == 12
    assert sum(numbers["rejected"].values()) == len(rows)
    for row in quarantine_of(shards):
        path = common_voice / row["source"]
        if row["stage"] == "decode":
            assert row["sha256"] == file_sha256(path)
    assert {row["source"] for row in index_of(shards)}.isdisjoint(expected)


def test_a_passed_budget_fails_by_name_and_a_larger_one_goes_on(common_voice, ingested, monkeypatch):
    rows, expected = bad_rows(common_voice)
    write_table(common_voice / "train.tsv", rows_of(12) + rows)
    with pytest.raises(UserError) as caught:
        ingested(f"commonvoice:{common_voice}")
    said = str(caught.value)
    assert "\n" not in said
    assert f"split train: {len(rows)} of {12 + len(rows)} rows cannot be used" in said
    for words in ("3 empty transcript", "1 truncated", "45.5 %, the budget is 5 %", "--set ingest.error_budget=0.46"):
        assert words in said
    table = pq.read_table(next(word for word in said.replace(";", " ").split() if word.endswith(".parquet")))
    assert dict(zip(table["source"].to_pylist(), table["reason"].to_pylist(), strict=True)) == expected
    monkeypatch.setattr(ingest_corpus, "ingest_shard", None)  # nothing is taken in a second time
    assert summary(ingested(f"commonvoice:{common_voice}", error_budget=0.46))["train"]["kept"] == 12


def test_nothing_to_train_on_is_said(common_voice, ingested):
    for clip in (common_voice / "clips").iterdir():
        clip.write_bytes(b"")
    with pytest.raises(UserError, match="split train: .*nothing is left to train on"):
        ingested(f"commonvoice:{common_voice}", error_budget=1.0)


def test_an_empty_corpus_is_said(tmp_path, ingested):
    place = tmp_path / "empty"
    place.mkdir()
    with pytest.raises(UserError, match="/empty: nothing is there"):
        ingested(f"commonvoice:{place}")
    write_table(place / "train.tsv", [])
    with pytest.raises(UserError, match="it has no split at all"):
        ingested(f"commonvoice:{place}")


def test_a_clip_listed_twice_is_kept_once_where_it_matters_most(common_voice, ingested):
    twice = [{"client_id": "x", "path": name, "sentence": "Same clip."} for name in ("clip_0.wav", "clip_12.wav")]
    write_table(common_voice / "train.tsv", rows_of(12) + twice)  # clip_0 is in train, clip_12 in dev
    shards = ingested(f"commonvoice:{common_voice}", error_budget=0.5)
    assert [(r["split"], r["reason"]) for r in quarantine_of(shards)] == [("train", "duplicate clip")] * 2
    assert {r["source"] for r in quarantine_of(shards)} == {"clips/clip_0.wav", "clips/clip_12.wav"}
    splits = {row["source"]: row["split"] for row in index_of(shards)}
    assert splits["clips/clip_12.wav"] == "dev"
    assert splits["clips/clip_0.wav"] == "train"
