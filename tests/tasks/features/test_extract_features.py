"""Features of a small corpus: every utterance is there or in the quarantine, and a killed run is continued."""

import pyarrow.parquet as pq
import pytest
from small_corpora import rows_of, write_table

from infra import storage
from infra.errors import UserError
from tasks.batches.batch_loader import UtteranceDataset
from tasks.features import extract_features as module
from tasks.features.extract_features import extract_features, extract_shard_features
from tasks.features.front_end import FrontEnd, fit_cmvn
from tasks.ingest.shard_index import read_index
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer

FRONT_END = FrontEnd(mels=8)
LATIN = "abcdefghijklmnopqrstuvwxyz0123456789"


@pytest.fixture
def material(common_voice, ingested):
    """`material(**ingest options)`: shards, and the tokenizer of a Latin alphabet."""

    def make(**options):
        shards = ingested(f"commonvoice:{common_voice}", **options)
        return shards, fit_tokenizer.fn(shards, TokenizerConfig(text=NormalizationConfig(alphabet=LATIN)))

    return make


def sources(artifact, table):
    return set(pq.read_table(artifact.file(table))["source"].to_pylist())


def test_text_outside_the_alphabet_is_set_aside_in_train_and_an_error_elsewhere(common_voice, material):
    write_table(common_voice / "train.tsv", [{**rows_of(1)[0], "sentence": "Straße!"}, *rows_of(11, 1)])
    write_table(common_voice / "dev.tsv", [{**rows_of(1, 12)[0], "sentence": "Größe."}, *rows_of(2, 13)])
    write_table(common_voice / "test.tsv", [{**rows_of(1, 15)[0], "sentence": "?!"}, *rows_of(2, 16)])
    shards, tokenizer = material()
    features = extract_features.fn(shards, tokenizer, FRONT_END, 0.4)
    rejects = pq.read_table(features.file("quarantine.parquet")).to_pylist()
    assert {(r["source"], r["reason"], r["detail"]) for r in rejects} == {
        ("clips/clip_0.wav", "characters outside the alphabet", "ß"),
        ("clips/clip_15.wav", "empty transcript", "nothing is left after text normalization"),
    }
    kept, rejected = sources(features, "index.parquet"), {row["source"] for row in rejects}
    assert kept | rejected == sources(shards, "index.parquet")
    assert not kept & rejected
    with pytest.raises(UserError, match=r"split test: 1 of 3 .*clip_15\.wav: empty transcript.*the budget is 5%"):
        extract_features.fn(shards, tokenizer, FRONT_END, 0.05)


def test_what_is_stored_is_what_the_front_end_gives(material):
    shards, tokenizer = material()
    features = extract_features.fn(shards, tokenizer, FRONT_END, 0.0)
    train = read_index(features, "train")
    normalizer = fit_cmvn(features.read_json("statistics.json"), FrontEnd(normalize="corpus"))
    rows = UtteranceDataset(features, train, normalizer, None, 0)
    for i, row in enumerate(train.to_pylist()):
        frames, ids = rows.read(i)
        assert frames.shape == (row["frames"], 8)
        assert len(ids) == row["tokens"] == len(row["text"])
    assert features.read_json("statistics.json")["frames"] == sum(train["frames"].to_pylist())


def test_a_killed_run_is_continued(material, monkeypatch, tmp_path):
    shards, tokenizer = material(shard_mb=0.01)
    whole = extract_features.fn(shards, tokenizer, FRONT_END, 0.0).manifest()
    storage.remove(extract_features.fn(shards, tokenizer, FRONT_END, 0.0).uri)
    done, again = [], []

    def killed(work, jobs, label):
        for job in jobs[:2]:
            done.append(job["shard"])
            yield work(job)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            extract_features.fn(shards, tokenizer, FRONT_END, 0.0)
    monkeypatch.setattr(
        module, "extract_shard_features", lambda job: again.append(job["shard"]) or extract_shard_features(job)
    )
    assert extract_features.fn(shards, tokenizer, FRONT_END, 0.0).manifest() == whole
    assert again
    assert not set(done) & set(again)


def test_a_clip_without_words_is_silence_where_a_model_is_measured(common_voice, material):
    """A model must not learn from a transcript that is missing, but what it writes into silence is an error."""
    mute = {split: {**rows_of(1, at)[0], "sentence": " "} for split, at in (("train", 0), ("dev", 12), ("test", 15))}
    for split, at in (("train", 1), ("dev", 13), ("test", 16)):
        write_table(common_voice / f"{split}.tsv", [mute[split], *rows_of(2, at)])
    shards, tokenizer = material(error_budget=0.4)
    features = extract_features.fn(shards, tokenizer, FRONT_END, 0.0)
    index = {row["source"]: row for row in pq.read_table(features.file("index.parquet")).to_pylist()}
    silent = {row["source"]: row["split"] for row in index.values() if not row["text"]}
    assert silent == {"clips/clip_12.wav": "dev", "clips/clip_15.wav": "test"}
    assert all(index[name]["tokens"] == 0 and index[name]["frames"] > 0 for name in silent)
    rejects = pq.read_table(shards.file("quarantine.parquet")).to_pylist()
    assert [(r["source"], r["reason"]) for r in rejects] == [("clips/clip_0.wav", "empty transcript")]
