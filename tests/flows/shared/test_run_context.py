"""What a run says of itself: the model's name, its settings, and its training, which may be an earlier run's."""

import json
import shlex

import pytest
from prefect import flow

from flows.recipes.asr_demo import deep_speech_2_demo
from flows.shared.run_context import RunContext, flat_settings, registered_name, run_command, training_facts
from infra.artifact_store import open_draft
from tasks.training.training_duration import save_time

KEY = "ab" * 32


@pytest.mark.parametrize(
    ("model", "name"), [("asr@champion", "asr"), ("my/asr/3", "my/asr"), ("s3://bucket/a@b", ""), ("folder", "")]
)
def test_the_name_of_a_registered_model(tmp_path, monkeypatch, model, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert registered_name(model) == name


def test_settings_are_all_and_by_the_names_that_set_takes():
    told = dict(flat_settings(deep_speech_2_demo()))
    assert {"fit.seed", "model.hidden_size", "ingest.max_seconds", "beam.width"} <= told.keys()
    assert all(isinstance(value, str) for value in told.values())


def test_a_training_of_an_earlier_run_is_told_with_its_end(artifact_root):
    assert training_facts("") == training_facts(KEY) == ()
    draft = open_draft("training", KEY[:32])
    draft.put_json("progress.json", {"step": 1200, "seconds": 3725.0, "core_seconds": 61.0})
    save_time(draft, workers=0)
    told = dict(training_facts(KEY))
    assert told["training"].startswith("1 h 2 min for 1,200 updates, 1 min 1 s of processor, ended 20")
    assert "cores" in told["trained on"]
    assert told["workers of the training"] == "in one process"
    (place,) = (artifact_root / ".clocks").iterdir()
    place.write_text(json.dumps({"seconds": 8.0, "core_seconds": 5.0, "updates": 40}))
    assert dict(training_facts(KEY))["training"] == "8.0 s for 40 updates, 5.0 s of processor"


def test_a_flow_says_the_command_that_does_the_same(prefect_server, artifact_root):
    @flow(name="train-asr")
    def some(corpus: str, settings: tuple[str, ...] = (), workers: int = 1, alias: str = "") -> tuple[str, dict]:
        run = RunContext("a page", 0.0, "asr")
        return run_command(), dict(run.facts().facts)

    command, facts = some("demo:", settings=("fit.epochs=2", "ingest.uri=s3://me:secret@bucket"))
    assert shlex.split(command) == [
        *("scriptorium", "train-asr", "--corpus", "demo:", "--set", "fit.epochs=2"),
        *("--set", "ingest.uri=s3://me:***@bucket", "--workers", "1"),
    ]
    assert facts["command"] == command
    assert facts["date"].startswith("1970-01-01 00:00 UTC")
    assert run_command() == "", "outside of a flow"
