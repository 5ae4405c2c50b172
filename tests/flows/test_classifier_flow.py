"""A table of labeled texts becomes a registered classifier; a second run does nothing; then it is measured anew."""

import csv
import re

import numpy as np
import pytest
from test_flows import states_of

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
SMALL = (
    "model.recurrent.hidden_size=16",
    "model.embedding_size=8",
    "fit.epochs=10",
    "fit.learning_rate=0.02",
    "batching.utterances_per_batch=8",
)
WORDS = {"of animals": ["fox", "dog", "cat", "hen"], "of fruit": ["plum", "pear", "fig", "date"]}


def table(path, rows=120):
    """Lists of animals or of fruit, the same text sometimes twice."""
    random = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label", "split"))
        for i in range(rows):
            label = list(WORDS)[i % 2]
            split = ("dev", "test", *("train",) * 4)[i // 2 % 6]
            writer.writerow((", ".join(random.choice(WORDS[label], random.integers(2, 5))), label, split))
    return path


def test_the_whole_way(prefect_server, tmp_path, monkeypatch):
    from flows.evaluate import evaluate_model
    from flows.train_classifier import train_classifier
    from infra import storage
    from infra.artifact_store import artifact_at

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "classifiers")
    corpus = f"labeled:{table(tmp_path / 'lists.csv')}"
    call = {"corpus": corpus, "recipe": "lstm_text", "settings": SMALL, "workers": 0}
    result, first = states_of(train_classifier, **call)
    assert set(first.values()) == {"Completed"}
    assert set(result["metrics"]) == {"test", "dev"}
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert result["metrics"]["test"].keys() == {"accuracy", "accuracy_interval", "macro_f1", "items", "loss"}
    page = storage.read(result["report"])
    assert page.startswith(b"<!doctype html>")
    assert b"what is taken for what" in page
    told = artifact_at(result["paths"]["shards"]).read_json("summary.json")["splits"]
    assert sum(split["rows"] for split in told.values()) == 120
    again, second = states_of(train_classifier, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}
    assert len(second) == len(first)

    measured, _ = states_of(evaluate_model, model="classifier@champion", corpus=corpus, split="test")
    assert measured["metrics"]["test"] == result["metrics"]["test"]


def test_a_label_that_training_lacks_is_named(prefect_server, tmp_path, monkeypatch):
    from flows.train_classifier import train_classifier
    from infra.errors import UserError

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    path = table(tmp_path / "lists.csv")
    path.write_text(path.read_text() + "parsnip,of roots,dev\n" * 3)
    with pytest.raises(UserError, match=r"first lists\.csv:122: label missing from training, of roots") as caught:
        train_classifier(corpus=f"labeled:{path}", recipe="lstm_text", settings=SMALL, workers=0)
    assert "\n" not in str(caught.value)
    assert re.search(r"split dev: 3 of \d+ rows", str(caught.value))


@pytest.mark.parametrize(
    ("recipe", "setting", "says"),
    [
        ("lstm_digits", "model.source=tokens", "embedding_size"),
        ("lstm_text", "model.source=frames", "reads frames, and features gives tokens"),
        ("lstm_text", "augment.noise=0.1", "texts cannot"),
        ("lstm_text", "features.specials=false", "specials"),
        ("lstm_text", "features.mels=3", "no such key"),
        ("tdnn_digits", "features.kind=words", "one of log_mel"),
        ("tdnn_digits", "fit.best_by=accuracy", "one of"),
    ],
)
def test_settings_that_cannot_be_honored(recipe, setting, says):
    from flows.recipes import classification
    from flows.shared.validate_inputs import resolve_recipe
    from infra.errors import UserError

    with pytest.raises(UserError, match=says) as caught:
        resolve_recipe("fsdd:/", recipe, [setting], classification)
    assert "\n" not in str(caught.value)


def test_every_recipe_is_listed_and_can_be_built():
    from flows.recipes import classification
    from flows.shared.validate_inputs import list_recipes

    assert set(list_recipes(classification)) == {"tdnn_digits", "tdnn_digits_1989", "lstm_digits", "lstm_text"}
    for name, line in list_recipes(classification).items():
        assert line, name
        plan = getattr(classification, name)()
        assert plan.training.model.build(40, 10)
        assert (plan.front_end is None) == (name == "lstm_text")
        assert plan.fit.best_by in ("error", "loss")


def test_what_reads_no_frames_and_says_no_labels_is_a_language_model(artifact_root):
    from flows.kinds.every_kind import model_kind
    from flows.kinds.language import LANGUAGE
    from flows.shared.evaluation_plan import require_recognizer
    from infra.artifact_store import new_draft
    from infra.errors import UserError

    with new_draft("bundle") as out:
        out.put_json("tokenizer.json", {"kind": "characters"})
        out.put_json("features.json", None)
    assert model_kind(out.result()) is LANGUAGE
    with pytest.raises(UserError, match="not a speech recognizer"):
        require_recognizer(out.result())
