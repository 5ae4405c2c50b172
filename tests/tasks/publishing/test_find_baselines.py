"""The champion and the run before that a model is compared with, by a real record; a second run finds the same."""

import time
from pathlib import Path

import pytest

from infra import model_registry, tracking
from infra.artifact_store import new_draft
from tasks.publishing.find_baselines import find_baselines

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of MLflow
DATA, OTHER = "d" * 64, "e" * 64


@pytest.fixture(autouse=True)
def _record(artifact_root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")


def made(kind, name):
    with new_draft(kind) as out:
        out.put_json("it.json", name)
    return out.result()


def publish(name, *, data=DATA, model="asr", champion=True, transcripts=None):
    """As a training run does: opened under its key, then with its bundle, data and transcripts, registered, ended."""
    bundle, said = made("bundle", name), transcripts or made("transcripts", name)
    run_id = tracking.open_run(name, f"train {name}", {tracking.BUNDLE_TAG: bundle.digest})
    tracking.set_tag(run_id, tracking.DATA_TAG, data)
    tracking.log_dataset(run_id, said.kind, said.digest, said.uri)
    version = tracking.register(run_id, model, {"bundle": bundle.digest, "transcripts": said.digest})
    model_registry.set_alias(model, "champion" if champion else "challenger", version)
    tracking.finish(run_id, "FINISHED")
    time.sleep(0.01)  # MLflow's clock has milliseconds
    return bundle, said


def told(found):
    return [(one.role, one.name.split(",")[0], one.transcripts, one.problem) for one in found]


def test_nothing_to_compare_with_and_then_the_champion_and_the_run_before():
    first = made("bundle", "first")
    assert find_baselines(first, DATA, "asr", "first") == ()
    _, said = publish("first")
    assert find_baselines(first, DATA, "asr", "first") == (), "the second time it finds itself, which is no other"
    _, later = publish("later", champion=False)
    new = find_baselines(made("bundle", "new"), DATA, "asr", "new")
    assert told(new) == [("champion", "asr version 1", said, ""), ("run before", "train later", later, "")]
    publish("new")
    publish("newer")
    assert find_baselines(made("bundle", "new"), DATA, "asr", "new") == new, "what came later does not count"
    assert told(find_baselines(made("bundle", "later"), DATA, "asr", "later")) == [
        ("champion, which is the run before, too", "asr version 1", said, "")
    ]


def test_a_training_that_began_before_another_ended_is_not_compared_with_it():
    tracking.open_run("slow", "train slow", {})
    time.sleep(0.01)
    publish("quick", model="another")
    slow = made("bundle", "slow")
    assert find_baselines(slow, DATA, "asr", "slow") == ()
    assert [one.role for one in find_baselines(slow, DATA, "")] == ["run before"], "an evaluation begins now"


def test_what_was_not_measured_on_this_data_or_is_gone_is_said():
    champion, said = publish("first", data=OTHER)
    new = made("bundle", "new")
    assert told(find_baselines(new, DATA, "asr")) == [("champion", "asr version 1", None, "not measured on this data")]
    run_id = tracking.open_run("evaluation", "evaluate asr", {tracking.BUNDLE_TAG: champion.digest})
    tracking.set_tag(run_id, tracking.DATA_TAG, DATA)
    there = made("transcripts", "of the evaluation")
    tracking.log_dataset(run_id, there.kind, there.digest, there.uri)
    tracking.finish(run_id, "FINISHED")
    both = "champion, which is the run before, too"
    assert told(find_baselines(new, DATA, "asr")) == [(both, "asr version 1", there, "")]
    for path in sorted(Path(there.uri).iterdir()):
        path.unlink()
    ((_, _, gone, problem),) = told(find_baselines(new, DATA, "asr"))
    assert (gone, problem) == (None, "its transcripts are not in this store any more")
    assert find_baselines(new, OTHER, "no such model")[0].role == "run before"


def test_the_champion_of_before_a_rollback_and_one_that_was_taken_away():
    publish("one")
    publish("two")
    new = made("bundle", "new")
    assert find_baselines(new, OTHER, "asr")[0].name == "asr version 2"
    model_registry.rollback("asr")
    assert find_baselines(new, OTHER, "asr")[0].name == "asr version 1"
    tracking.client().delete_model_version("asr", "1")
    assert find_baselines(new, OTHER, "asr") == ()
