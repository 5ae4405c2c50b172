"""Labelled texts and clips become a bundle, and its predictions are what its model says."""

from pathlib import Path

import numpy as np
import pytest
from small_classifier import LETTERS, WORDS, clips, texts, training

from infra.problem import Problem
from infra.store import open_draft
from models import tdnn
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import adopt, front_end_of, is_classifier, load_bundle, replay, tokenizer_of
from tasks.evaluate import Scoring
from tasks.evaluate_classifier import evaluate_classifier
from tasks.features import FrontEnd, Normaliser
from tasks.featurize import featurize, index_of
from tasks.loop import Place, measured
from tasks.optimise import Fit
from tasks.parts import rows_of_parts
from tasks.plan import Batching
from tasks.predict import Predicting, predict
from tasks.report_classifier import ClassifierPage, report_classifier
from tasks.samples import shown
from tasks.tokenizer import Tokens
from tasks.train_classifier import prepare, train_classifier
from tasks.training_run import Workers
from tasks.vocabularies import LabelSet, fit_vocabularies


def test_clips_all_the_way(taken_in, tmp_path):
    shards, front_end = taken_in(clips(tmp_path / "clips")), FrontEnd(sample_rate=8000, mels=20)
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), front_end)
    features = featurize.fn(shards, vocabularies, front_end, 0.05)
    model = tdnn.Config(channels=(8,), windows=(3,), readout="mean", activation="relu")
    work = training(8, model=model, features=front_end, augment=Augment(noise=0.3))
    bundle = train_classifier.fn(features, vocabularies, work, Workers(count=0))
    assert front_end_of(bundle) == front_end
    how = Predicting(architecture="tdnn", split="test", batching=Batching())
    found = evaluate_classifier.fn(predict.fn(bundle, features, how), vocabularies, Scoring())
    scores = found.read_json("scores.json")
    assert scores["accuracy"] == 1
    assert [row["speaker"] for row in scores["by_speaker"]] == ["s0", "s1", "s2"]
    page = ClassifierPage(title="tones", splits=("test",))
    assert b"None was missed" in report_classifier.fn(bundle, shards, features, (found,), page).read("report.html")
    assert shown(shards, "0").startswith("<audio")


def test_a_bundle_holds_all_that_it_needs(trained):
    _, vocabularies, features, artifact = trained
    replay(artifact)
    bundle = load_bundle(artifact)
    assert len(bundle.spelling) == load_bundle(artifact).model.embedding.num_embeddings
    assert bundle.tokenizer.symbols == tuple(sorted(WORDS))
    assert is_classifier(artifact)
    assert front_end_of(artifact) is None
    assert tokenizer_of(artifact) == vocabularies
    assert adopt(artifact.uri) == artifact
    golden = artifact.read_json("golden.json")
    assert {told["text"] for told in golden.values()} <= set(WORDS)
    with pytest.raises(Problem, match="reads text and has no ear"):
        _ = bundle.front_end
    assert artifact.read_json("training.json")["features"] == features.digest


@pytest.mark.parametrize("name", ["tokenizer.json", "source/tokenizer.json", "weights.pt"])
def test_a_changed_file_is_refused_by_name(trained, name):
    artifact = trained[-1]
    path = Path(artifact.uri, name)
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    with pytest.raises(Problem, match=name.replace(".", r"\.")):
        load_bundle(artifact)


def test_predictions_and_the_dev_metric_say_what_the_model_says(trained):
    """One sequence at a time: label, confidence and nats of each; and the epoch's dev metrics from them."""
    _, vocabularies, features, artifact = trained
    bundle, index = load_bundle(artifact), index_of(features, "dev")
    how = Predicting(architecture="sequence_classifier", split="dev", batching=Batching())
    rows = rows_of_parts(predict.fn(artifact, features, how))
    assert [row["key"] for row in rows] == sorted(index["key"].to_pylist())
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    sequences = Utterances(features, index, Normaliser("none"), Augment(), 0)
    for row in rows:
        stored, target = sequences.read(places[row["key"]])
        p = bundle.model.classify(bundle.source(stored))[0].exp().detach()
        assert row["reference"] == bundle.tokenizer.decode(target)
        assert row["label"] == bundle.tokenizer.decode([int(p.argmax())])
        assert row["confidence"] == pytest.approx(float(p.max()), abs=1e-5)
        assert row["nats"] == pytest.approx(-float(p[int(target[0])].log()), abs=1e-4)
    job = prepare(open_draft("training"), features, vocabularies, training())
    told = measured(job, bundle.model, Place())
    assert told["dev_error"] == pytest.approx(np.mean([row["label"] != row["reference"] for row in rows]))
    assert told["dev_loss"] == pytest.approx(np.mean([row["nats"] for row in rows]), abs=1e-5)
    history = artifact.read_json("training.json")
    assert told["dev_error"] == pytest.approx(history["best"]["dev_error"])
    assert min(row["dev_error"] for row in history["history"]) == history["best"]["dev_error"]


def test_what_a_classifier_cannot_be_trained_on(trained):
    _, vocabularies, features, _ = trained
    with pytest.raises(Problem, match=r"fit\.best_by=wer: this run measures error, loss"):
        prepare(open_draft("training"), features, vocabularies, training(fit=Fit(best_by="wer")))
    for changes, message in (
        ({"model": tdnn.Config()}, "reads frames, and features gives tokens"),
        ({"augment": Augment(noise=0.1)}, "texts cannot"),
        ({"features": Tokens(specials=False)}, "specials"),
        ({"features": FrontEnd()}, "reads tokens, and features gives frames"),
    ):
        with pytest.raises(ValueError, match=message):
            training(**changes)


def test_the_split_that_is_missing_is_named(taken_in, tmp_path):
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    rows[2] = ("c", "z", "dev")
    features = featurize.fn(taken_in(texts(tmp_path / "t.jsonl", rows)), vocabularies, None, 1.0)
    with pytest.raises(Problem, match="the dev split is empty"):
        prepare(open_draft("training"), features, vocabularies, training())
