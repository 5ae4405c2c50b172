"""Labels and texts become ids: the vocabularies of training, and features of texts."""

import numpy as np
import pytest
import torch
from small_classifier import LETTERS, clips, texts

from infra.errors import UserError
from tasks.batches.batch_loader import UtteranceDataset
from tasks.bundles.fit_classifier_vocabulary import LabelConfig, fit_classifier_vocabulary
from tasks.features.augment import AugmentConfig
from tasks.features.extract_features import extract_features
from tasks.features.front_end import CMVN, FrontEnd
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_io import from_parquet
from tasks.text.tokenizer import TokenizerConfig, load_source_tokenizer, load_tokenizer


def test_vocabularies_are_those_of_training(taken_in, tmp_path):
    rows = [("b a", "two words", "train"), ("a", "Zoo", "train"), ("c", "two words", "train"), ("xyz", "other", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)
    labels, spelling = load_tokenizer(vocabularies), load_source_tokenizer(vocabularies)
    assert [labels.decode([i]) for i in range(len(labels))] == ["Zoo", "two words"]
    assert labels.encode("two words") == [1]
    assert spelling.symbols == (" ", "a", "b", "c")
    without = fit_classifier_vocabulary.fn(shards, LabelConfig(), FrontEnd())
    assert without.names() == ["tokenizer.json"]
    assert load_source_tokenizer(without) is None
    with pytest.raises(UserError, match=r"2 different labels \('Zoo', .* labels\.most allows 1"):
        fit_classifier_vocabulary.fn(shards, LabelConfig(most=1), LETTERS)


def test_one_label_is_nothing_to_tell_apart(taken_in, tmp_path):
    shards = taken_in(texts(tmp_path / "t.jsonl", [("a", "same", "train"), ("b", "same", "train"), ("c", "x", "dev")]))
    with pytest.raises(UserError, match="every training row has the label 'same'"):
        fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)


def test_pieces_are_fitted_to_the_texts_too(taken_in, tmp_path):
    shards = taken_in(texts(tmp_path / "lists.jsonl"))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), TokenizerConfig(kind="bpe", vocabulary_size=40))
    assert vocabularies.names() == ["source/tokenizer.json", "source/tokenizer.model", "tokenizer.json"]
    features = extract_features.fn(shards, vocabularies, None, 0.05)
    assert len(load_source_tokenizer(vocabularies)) == 40
    assert max(read_index(features, "train")["frames"].to_pylist()) < 30


def test_features_of_texts_are_their_tokens(taken_in, tmp_path):
    rows = [("ab", "x", "train"), ("b, a", "y", "train"), ("c a", "y", "dev"), ("?!", "x", "train")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)
    features = extract_features.fn(shards, vocabularies, None, 0.5)
    train, dev = read_index(features, "train"), read_index(features, "dev")
    assert train["frames"].to_pylist() == [2, 3]
    assert train["tokens"].to_pylist() == [1, 1]
    assert features.read_json("statistics.json") == {}
    heard = UtteranceDataset(features, train, CMVN("none"), AugmentConfig(speed=0.5, noise=1.0), 0)
    for epoch in (None, 3):
        batch = heard.batch(np.arange(2), epoch)
        assert batch.source.data.tolist() == [[5, 6, 0], [6, 4, 5]]
        assert batch.source.lengths.tolist() == [2, 3]
        assert batch.source.data.dtype == torch.int64
        assert batch.target.data.tolist() == [[0], [1]]
    unknown = UtteranceDataset(features, dev, CMVN("none"), AugmentConfig(), 0).batch(np.arange(1), None)
    assert unknown.source.data.tolist() == [[3, 4, 5]]
    left = [r for r in open_quarantine(features) if r["stage"] == "features"]
    assert [(r["source"], r["reason"]) for r in left] == [("t.jsonl:4", "empty text")]


def open_quarantine(features):
    return from_parquet(features.read("quarantine.parquet")).to_pylist()


def test_a_label_that_training_lacks(taken_in, tmp_path):
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev"), ("d", "z z", "dev"), ("e", "x", "test")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)
    with pytest.raises(
        UserError, match=r"split dev: 1 of 2 rows .*t\.jsonl:4: label missing from training, z z"
    ) as told:
        extract_features.fn(shards, vocabularies, None, 0.05)
    assert "\n" not in str(told.value)
    features = extract_features.fn(shards, vocabularies, None, 0.5)
    assert [r["detail"] for r in open_quarantine(features)] == ["z z"]
    assert len(read_index(features, "dev")) == 1


def test_texts_are_not_heard_and_clips_not_spelled(taken_in, tmp_path):
    shards = taken_in(texts(tmp_path / "t.jsonl"))
    with pytest.raises(UserError, match="this corpus has texts"):
        extract_features.fn(shards, fit_classifier_vocabulary.fn(shards, LabelConfig(), FrontEnd()), FrontEnd(), 0.05)
    with pytest.raises(UserError, match="this corpus has clips"):
        fit_classifier_vocabulary.fn(taken_in(clips(tmp_path / "clips")), LabelConfig(), LETTERS)
