"""Labeled texts and clips become a bundle, and its predictions are what its model says."""

from pathlib import Path

import numpy as np
import pytest
from small_classifier import LETTERS, WORDS, clips, texts, training

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import tdnn_classifier
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.fit_classifier_vocabulary import LabelConfig, fit_classifier_vocabulary
from tasks.bundles.model_bundle import (
    bundle_front_end,
    bundle_tokenizer,
    check_golden_outputs,
    import_model,
    is_classifier,
    load_bundle,
)
from tasks.decoding.predict_labels import predict_labels
from tasks.decoding.shard_inference import Inference
from tasks.features.augment import AugmentConfig
from tasks.features.extract_features import extract_features
from tasks.features.front_end import CMVN, FrontEnd
from tasks.ingest.shard_index import read_index
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.reports.sample_preview import render_sample
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.steps.parquet_parts import read_parts
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_classifier import prepare_classifier, train_classifier
from tasks.training.train_loop import WorkerRank, measure_dev


def test_clips_all_the_way(taken_in, tmp_path):
    shards, front_end = taken_in(clips(tmp_path / "clips")), FrontEnd(sample_rate=8000, mels=20)
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), front_end)
    features = extract_features.fn(shards, vocabularies, front_end, 0.05)
    model = tdnn_classifier.Config(channels=(8,), windows=(3,), readout="mean", activation="relu")
    work = training(8, model=model, features=front_end, augment=AugmentConfig(noise=0.3))
    bundle = train_classifier.fn(features, vocabularies, work, Workers(count=0))
    assert bundle_front_end(bundle) == front_end
    how = Inference(architecture="tdnn", split="test", batching=BatchingConfig())
    found = evaluate_classifier.fn(predict_labels.fn(bundle, features, how), vocabularies, ScoringConfig())
    scores = found.read_json("scores.json")
    assert scores["accuracy"] == 1
    assert [row["speaker"] for row in scores["by_speaker"]] == ["s0", "s1", "s2"]
    page = ClassifierPage(title="tones", splits=("test",))
    assert b"None was missed" in report_classifier.fn(bundle, shards, features, (found,), page).read("report.html")
    assert render_sample(shards, "0").startswith("<audio")


def test_a_bundle_holds_all_that_it_needs(trained):
    _, vocabularies, features, artifact = trained
    check_golden_outputs(artifact)
    bundle = load_bundle(artifact)
    assert len(bundle.spelling) == load_bundle(artifact).model.embedding.num_embeddings
    assert bundle.tokenizer.symbols == tuple(sorted(WORDS))
    assert is_classifier(artifact)
    assert bundle_front_end(artifact) is None
    assert bundle_tokenizer(artifact) == vocabularies
    assert import_model(artifact.uri) == artifact
    golden = artifact.read_json("golden.json")
    assert {told["text"] for told in golden.values()} <= set(WORDS)
    with pytest.raises(UserError, match="reads text and has no ear"):
        _ = bundle.front_end
    assert artifact.read_json("training.json")["features"] == features.digest


@pytest.mark.parametrize("name", ["tokenizer.json", "source/tokenizer.json", "weights.pt"])
def test_a_changed_file_is_refused_by_name(trained, name):
    artifact = trained[-1]
    path = Path(artifact.uri, name)
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        load_bundle(artifact)


def test_predictions_and_the_dev_metric_say_what_the_model_says(trained):
    """One sequence at a time: label, confidence and nats of each; and the epoch's dev metrics from them."""
    _, vocabularies, features, artifact = trained
    bundle, index = load_bundle(artifact), read_index(features, "dev")
    how = Inference(architecture="sequence_classifier", split="dev", batching=BatchingConfig())
    rows = read_parts(predict_labels.fn(artifact, features, how))
    assert [row["key"] for row in rows] == sorted(index["key"].to_pylist())
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    sequences = UtteranceDataset(features, index, CMVN("none"), AugmentConfig(), 0)
    for row in rows:
        stored, target = sequences.read(places[row["key"]])
        p = bundle.model.classify(bundle.source(stored))[0].exp().detach()
        assert row["reference"] == bundle.tokenizer.decode(target)
        assert row["label"] == bundle.tokenizer.decode([int(p.argmax())])
        assert row["confidence"] == pytest.approx(float(p.max()), abs=1e-5)
        assert row["nats"] == pytest.approx(-float(p[int(target[0])].log()), abs=1e-4)
    job = prepare_classifier(open_draft("training"), features, vocabularies, training())
    told = measure_dev(job, bundle.model, WorkerRank())
    assert told["dev_error"] == pytest.approx(np.mean([row["label"] != row["reference"] for row in rows]))
    assert told["dev_loss"] == pytest.approx(np.mean([row["nats"] for row in rows]), abs=1e-5)
    history = artifact.read_json("training.json")
    assert told["dev_error"] == pytest.approx(history["best"]["dev_error"])
    assert min(row["dev_error"] for row in history["history"]) == history["best"]["dev_error"]


def test_what_a_classifier_cannot_be_trained_on(trained):
    _, vocabularies, features, _ = trained
    with pytest.raises(UserError, match=r"fit\.best_by=wer: this run measures error, loss"):
        prepare_classifier(open_draft("training"), features, vocabularies, training(fit=FitConfig(best_by="wer")))
    for changes, message in (
        ({"model": tdnn_classifier.Config()}, "reads frames, and features gives tokens"),
        ({"augment": AugmentConfig(noise=0.1)}, "texts cannot"),
        ({"features": TokenizerConfig(specials=False)}, "specials"),
        ({"features": FrontEnd()}, "reads tokens, and features gives frames"),
        (
            {"model": tdnn_classifier.Config(), "features": FrontEnd(), "augment": AugmentConfig(concatenate=0.1)},
            "augment.concatenate: a clip of two has no label",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            training(**changes)


def test_the_split_that_is_missing_is_named(taken_in, tmp_path):
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)
    rows[2] = ("c", "z", "dev")
    features = extract_features.fn(taken_in(texts(tmp_path / "t.jsonl", rows)), vocabularies, None, 1.0)
    with pytest.raises(UserError, match="the dev split is empty"):
        prepare_classifier(open_draft("training"), features, vocabularies, training())
