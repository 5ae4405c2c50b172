"""Texts and clips with labels become a classifier: vocabularies, features, training, predictions, scores, pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import tone

from infra.problem import Problem
from infra.store import draft, open_draft
from models import sequence_classifier, tdnn
from models.layers.stack import Recurrent
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import adopt, front_end_of, is_classifier, load_bundle, replay, tokenizer_of
from tasks.corpus import Ingest, fingerprint, parse
from tasks.draw_confusion import MOST_DRAWN, confusion_picture, drawn
from tasks.evaluate import Scoring
from tasks.evaluate_classifier import evaluate_classifier, interval, score
from tasks.features import FrontEnd, Normaliser
from tasks.featurize import featurize, index_of
from tasks.ingest_corpus import ingest
from tasks.loop import Place, measured
from tasks.optimise import Fit
from tasks.parts import rows_of_parts
from tasks.plan import Batching
from tasks.predict import Predicting, predict
from tasks.report_classifier import ClassifierPage, report_classifier
from tasks.samples import shown
from tasks.tables import from_parquet
from tasks.tokenizer import Tokens, load_source_tokenizer, load_tokenizer
from tasks.train_classifier import ClassifierTraining, prepare, train_classifier
from tasks.training_run import Workers
from tasks.vocabularies import LabelSet, fit_vocabularies

WORDS = {"of animals": ["fox", "dog", "cat"], "of fruit": ["plum", "pear", "fig"]}
LETTERS = Tokens()


def taken_in(place, **options):
    corpus = parse(place, "labelled")
    return ingest.fn(corpus, fingerprint(corpus), Ingest(**options), ("train", "dev", "test"))


def texts(path, rows=()):
    random = np.random.default_rng(0)
    lines = [{"text": t, "label": label, "split": split} for t, label, split in rows]
    for i in range(0 if rows else 90):
        label = list(WORDS)[i % 2]
        text = f"{i}: " + " ".join(random.choice(WORDS[label], random.integers(1, 5)))
        lines.append({"text": text, "label": label, "split": ("dev", "test", "train", "train")[i // 2 % 4]})
    path.write_text("\n".join(map(json.dumps, lines)))
    return f"labelled:{path}"


def training(epochs=2, **changes):
    model = sequence_classifier.Config(
        source="tokens", embedding_size=8, recurrent=Recurrent(hidden_size=12, bidirectional=True), readout="max"
    )
    how = {"optimiser": "AdamW", "optimiser_options": {}, "schedule": "", "clip_norm": 5.0, "learning_rate": 2e-2}
    told = {"model": model, "features": LETTERS, "augment": Augment(), "batching": Batching(utterances_per_batch=8)}
    return ClassifierTraining(**(told | {"fit": Fit(epochs=epochs, best_by="error", **how)} | changes))


@pytest.fixture
def trained(in_this_process, tmp_path):
    """Shards, vocabularies, features and the bundle of a small text classifier."""
    shards = taken_in(texts(tmp_path / "lists.jsonl"))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    features = featurize.fn(shards, vocabularies, None, 0.05)
    return shards, vocabularies, features, train_classifier.fn(features, vocabularies, training(), Workers(count=0))


def test_vocabularies_are_those_of_training(in_this_process, tmp_path):
    rows = [("b a", "two words", "train"), ("a", "Zoo", "train"), ("c", "two words", "train"), ("xyz", "other", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    labels, spelling = load_tokenizer(vocabularies), load_source_tokenizer(vocabularies)
    assert [labels.decode([i]) for i in range(len(labels))] == ["Zoo", "two words"]
    assert labels.encode("two words") == [1]
    assert spelling.symbols == (" ", "a", "b", "c")
    without = fit_vocabularies.fn(shards, LabelSet(), FrontEnd())
    assert without.names() == ["tokenizer.json"]
    assert load_source_tokenizer(without) is None
    with pytest.raises(Problem, match=r"2 different labels \('Zoo', .* labels\.most allows 1"):
        fit_vocabularies.fn(shards, LabelSet(most=1), LETTERS)


def test_one_label_is_nothing_to_tell_apart(in_this_process, tmp_path):
    shards = taken_in(texts(tmp_path / "t.jsonl", [("a", "same", "train"), ("b", "same", "train"), ("c", "x", "dev")]))
    with pytest.raises(Problem, match="every training row has the label 'same'"):
        fit_vocabularies.fn(shards, LabelSet(), LETTERS)


def test_pieces_are_fitted_to_the_texts_too(in_this_process, tmp_path):
    shards = taken_in(texts(tmp_path / "lists.jsonl"))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), Tokens(kind="bpe", vocabulary_size=40))
    assert vocabularies.names() == ["source/tokenizer.json", "source/tokenizer.model", "tokenizer.json"]
    features = featurize.fn(shards, vocabularies, None, 0.05)
    assert len(load_source_tokenizer(vocabularies)) == 40
    assert max(index_of(features, "train")["frames"].to_pylist()) < 30


def test_features_of_texts_are_their_tokens(in_this_process, tmp_path):
    rows = [("ab", "x", "train"), ("b, a", "y", "train"), ("c a", "y", "dev"), ("?!", "x", "train")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    features = featurize.fn(shards, vocabularies, None, 0.5)
    train, dev = index_of(features, "train"), index_of(features, "dev")
    assert train["frames"].to_pylist() == [2, 3]
    assert train["tokens"].to_pylist() == [1, 1]
    assert features.read_json("statistics.json") == {}
    heard = Utterances(features, train, Normaliser("none"), Augment(speed=0.5, noise=1.0), 0)
    for epoch in (None, 3):
        batch = heard.batch(np.arange(2), epoch)
        assert batch.source.data.tolist() == [[5, 6, 0], [6, 4, 5]]
        assert batch.source.lengths.tolist() == [2, 3]
        assert batch.source.data.dtype == torch.int64
        assert batch.target.data.tolist() == [[0], [1]]
    unknown = Utterances(features, dev, Normaliser("none"), Augment(), 0).batch(np.arange(1), None)
    assert unknown.source.data.tolist() == [[3, 4, 5]]
    left = [r for r in open_quarantine(features) if r["stage"] == "features"]
    assert [(r["source"], r["reason"]) for r in left] == [("t.jsonl:4", "empty text")]


def open_quarantine(features):
    return from_parquet(features.read("quarantine.parquet")).to_pylist()


def test_a_label_that_training_lacks(in_this_process, tmp_path):
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev"), ("d", "z z", "dev"), ("e", "x", "test")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    with pytest.raises(Problem, match=r"split dev: 1 of 2 rows .*t\.jsonl:4: label missing from training, z z") as told:
        featurize.fn(shards, vocabularies, None, 0.05)
    assert "\n" not in str(told.value)
    features = featurize.fn(shards, vocabularies, None, 0.5)
    assert [r["detail"] for r in open_quarantine(features)] == ["z z"]
    assert len(index_of(features, "dev")) == 1


def test_texts_are_not_heard_and_clips_not_spelt(in_this_process, tmp_path):
    shards = taken_in(texts(tmp_path / "t.jsonl"))
    with pytest.raises(Problem, match="this corpus has texts"):
        featurize.fn(shards, fit_vocabularies.fn(shards, LabelSet(), FrontEnd()), FrontEnd(), 0.05)
    with pytest.raises(Problem, match="this corpus has clips"):
        fit_vocabularies.fn(taken_in(clips(tmp_path / "clips")), LabelSet(), LETTERS)


def clips(folder):
    """Low and high tones of several speakers."""
    folder.mkdir()
    rows = ["audio,label,split,speaker"]
    for i in range(60):
        wave = tone(i + 100 * (i % 2), 0.15) + 0.01 * np.random.default_rng(i).standard_normal(1200).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", wave, 8000)
        rows.append(f"{i}.wav,{('low', 'high')[i % 2]},{('dev', 'test', 'train', 'train')[i // 2 % 4]},s{i % 3}")
    (folder / "clips.csv").write_text("\n".join(rows))
    return f"labelled:{folder}"


def test_clips_all_the_way(in_this_process, tmp_path):
    shards, front_end = taken_in(clips(tmp_path / "clips")), FrontEnd(sample_rate=8000, mels=20)
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), front_end)
    features = featurize.fn(shards, vocabularies, front_end, 0.05)
    model = tdnn.Config(channels=(8,), windows=(3,), readout="mean", activation="relu")
    work = training(8, model=model, features=front_end, augment=Augment(noise=0.3))
    bundle = train_classifier.fn(features, vocabularies, work, Workers(count=0))
    assert front_end_of(bundle) == front_end
    how = Predicting(architecture="tdnn", split="test", batching=Batching())
    scores = evaluate_classifier.fn(predict.fn(bundle, features, how), vocabularies, Scoring()).read_json("scores.json")
    assert scores["accuracy"] == 1
    assert [row["speaker"] for row in scores["by_speaker"]] == ["s0", "s1", "s2"]
    page = ClassifierPage(title="tones", splits=("test",))
    told = evaluate_classifier.fn(predict.fn(bundle, features, how), vocabularies, Scoring())
    assert b"None was missed" in report_classifier.fn(bundle, shards, features, (told,), page).read("report.html")
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


def test_the_split_that_is_missing_is_named(in_this_process, tmp_path):
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    rows[2] = ("c", "z", "dev")
    features = featurize.fn(taken_in(texts(tmp_path / "t.jsonl", rows)), vocabularies, None, 1.0)
    with pytest.raises(Problem, match="the dev split is empty"):
        prepare(open_draft("training"), features, vocabularies, training())


def rows_of(pairs):
    same = {"speaker": "", "seconds": 1.0, "nats": 0.5, "source": "t"}
    return [
        {"key": f"{i:03}", "reference": r, "label": said, "confidence": c} | same
        for i, (r, said, c) in enumerate(pairs)
    ]


def test_scores_by_hand():
    """3 of 5 right. a: 2 true, 3 predicted, 2 hits; b: 2, 1, 1; c: 1, 0, 0; d: neither true nor predicted."""
    pairs = [("a", "a", 0.9), ("a", "a", 0.6), ("b", "b", 0.8), ("b", "a", 0.7), ("c", "d", 0.95)]
    pairs[-1] = ("c", "a", 0.95)
    told = score(rows_of(pairs), ["a", "b", "c", "d"], Scoring())
    assert told["accuracy"] == pytest.approx(3 / 5)
    assert told["loss"] == pytest.approx(0.5)
    by = {row["label"]: row for row in told["by_label"]}
    assert (by["a"]["precision"], by["a"]["recall"]) == (2 / 4, 1)
    assert (by["b"]["precision"], by["b"]["recall"]) == (1, 1 / 2)
    assert (by["c"]["precision"], by["c"]["recall"], by["c"]["f1"]) == (0, 0, 0)
    assert by["d"]["items"] == by["d"]["predicted"] == 0
    assert told["macro_f1"] == pytest.approx((2 * 2 / 6 + 2 * 1 / 3 + 0) / 3)
    assert told["confusion"] == [("a", "a", 2), ("b", "a", 1), ("b", "b", 1), ("c", "a", 1)]
    assert [(r["reference"], r["label"]) for r in told["worst"]] == [("c", "a"), ("b", "a")]
    assert told["by_speaker"] == []


label = st.sampled_from("abcd")


@given(st.lists(st.tuples(label, label, st.floats(0.25, 1)), min_size=1, max_size=30))
def test_scores_against_their_definitions(pairs):
    """Each label as a question of yes and no, counted pair by pair."""
    told = score(rows_of(pairs), list("abcd"), Scoring(resamples=10))
    f1 = []
    for row in told["by_label"]:
        name = row["label"]
        hits = sum(r == said == name for r, said, _ in pairs)
        false_alarms = sum(r != name == said for r, said, _ in pairs)
        missed = sum(r == name != said for r, said, _ in pairs)
        assert row["precision"] == (hits / (hits + false_alarms) if hits else 0)
        assert row["recall"] == (hits / (hits + missed) if hits else 0)
        if hits + false_alarms + missed:
            p, r = row["precision"], row["recall"]
            f1.append(2 * p * r / (p + r) if hits else 0.0)
            assert row["f1"] == pytest.approx(f1[-1])
    assert told["macro_f1"] == pytest.approx(np.mean(f1))
    assert sum(count for *_, count in told["confusion"]) == len(pairs)
    sure = [row["confidence"] for row in told["worst"]]
    assert sure == sorted(sure, reverse=True)
    assert all(row["label"] != row["reference"] for row in told["worst"])


def test_the_interval_is_the_bootstrap_over_items():
    """The binomial draw against drawing the items themselves."""
    hits, items = 170, 200
    random, right = np.random.default_rng(1), np.arange(items) < hits
    drawn_again = right[random.integers(0, items, (20000, items))].mean(1)
    expected = np.percentile(drawn_again, (2.5, 97.5))
    np.testing.assert_allclose(interval(hits, items, Scoring(resamples=20000)), expected, atol=0.005)
    assert interval(5, 5, Scoring()) == (1, 1)


def test_speakers_are_counted_where_there_are_any():
    rows = rows_of([("a", "a", 0.9), ("b", "a", 0.6), ("b", "b", 0.8)])
    for row, speaker in zip(rows, ("ann", "ann", ""), strict=True):
        row["speaker"] = speaker
    found = {
        row["speaker"]: (row["items"], row["accuracy"]) for row in score(rows, ["a", "b"], Scoring())["by_speaker"]
    }
    assert found == {"ann": (2, 0.5), "(unknown)": (1, 1.0)}


def test_a_picture_of_what_is_taken_for_what():
    few = [("a b", "a b", 3), ("a b", "c" * 60, 1), ("c" * 60, "c" * 60, 5)]
    assert confusion_picture(few).startswith(b"\x89PNG")
    assert drawn(few) == ["a b", "c" * 60]
    names = [f"label {i:03}" for i in range(60)]
    many = [(name, name, 5) for name in names] + [("label 059", "label 058", 2)]
    assert len(drawn(many)) == MOST_DRAWN
    assert {"label 058", "label 059"} <= set(drawn(many))
    assert confusion_picture(many).startswith(b"\x89PNG")


def test_the_page_shows_the_texts_that_were_missed(trained):
    shards, _, features, bundle = trained
    key = index_of(features, "test")["key"].to_pylist()[0]
    rows = rows_of([("of fruit", "of animals", 0.99), ("of fruit", "of fruit", 0.8)])
    rows[0] |= {"key": key, "source": "<lists>"}
    with draft("scores") as out:
        out.put_json("scores.json", score(rows, sorted(WORDS), Scoring()))
    page = report_classifier.fn(bundle, shards, features, (out.result(),), ClassifierPage(title="t", splits=("test",)))
    told = page.read("report.html").decode()
    assert shown(shards, key) in told
    assert "&lt;lists&gt;" in told
    assert "<b dir=auto>of fruit</b>, taken for <b dir=auto>of animals</b> with confidence 0.99" in told
    assert told.count("data:image/png") == 2
    assert page.read_json("report.json")["scores"]["test"]["accuracy"] == 0.5


def test_a_text_is_shown_as_text(in_this_process, tmp_path):
    rows = [("<b>bold</b>\nand more", "x", "train"), ("long " * 1000, "y", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    assert "&lt;b&gt;bold&lt;/b&gt;\nand more</div>" in shown(shards, "t_jsonl_1")
    assert shown(shards, "t_jsonl_2").endswith("\u2026</div>")
