"""Data sets on the command line, and a recognizer that is trained, measured and registered on a version of one."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "tasks"))
from three_releases import generated_clips, write_three  # noqa: E402
from training_corpus import training  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours


@pytest.fixture
def three(tmp_path, monkeypatch):
    for name, place in (("ARTIFACTS", "artifacts"), ("CACHE", "cache")):
        monkeypatch.setenv(f"SCRIPTORIUM_{name}", str(tmp_path / place))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    (tmp_path / "clips").mkdir()
    return write_three(tmp_path, *generated_clips(tmp_path / "clips"))


def said(capsys, monkeypatch, *command):
    from flows import dataset
    from tasks.steps.in_process import run_in_process

    monkeypatch.setattr(sys, "argv", ["dataset", *command])
    with run_in_process():
        dataset.main()
    return capsys.readouterr().out


def test_the_history_of_a_data_set(prefect_server, three, capsys, monkeypatch):
    for place in three.places:
        told = json.loads(said(capsys, monkeypatch, "add", "cv", "--corpus", place, "--json"))
        assert told["changed"]
    again = json.loads(said(capsys, monkeypatch, "add", "cv", "--corpus", three.places[2], "--json"))
    assert (again["changed"], again["number"], again["digest"]) == (False, 3, told["digest"])
    log = json.loads(said(capsys, monkeypatch, "log", "cv", "--json"))
    assert [(row["number"], row["changes"]) for row in log] == [(3 - i, three.changes[2 - i]) for i in range(3)]
    assert three.retracted in said(capsys, monkeypatch, "show", "cv", "2")
    table = said(capsys, monkeypatch, "log")
    assert all(row["digest"][:16] in table for row in log)
    own = json.loads(said(capsys, monkeypatch, "diff", "cv", "2", "--json"))
    both = json.loads(said(capsys, monkeypatch, "diff", "cv", "1", "2", "--json"))
    assert sorted(sorted(row.items()) for row in own) == sorted(sorted(row.items()) for row in both)
    assert "-> Sentence" in said(capsys, monkeypatch, "diff", "cv", "2")
    with pytest.raises(SystemExit):
        said(capsys, monkeypatch, "show", "cv", "9")
    assert "no version '9'; scriptorium dataset log cv lists them" in capsys.readouterr().err


def test_a_model_of_a_version_is_known_by_the_clips_it_heard(three):
    from flows.kinds.model_kind import held_out
    from flows.kinds.speech import SPEECH
    from flows.recipes import Recipe
    from flows.shared.dataset_data import DatasetPlan, dataset_data
    from flows.shared.run_context import RunContext
    from models.interface import Beam
    from tasks.corpora.corpus_uri import IngestConfig, parse_corpus
    from tasks.datasets.dataset_head import update_dataset
    from tasks.datasets.exclude_leaks import LeakConfig
    from tasks.datasets.mix_corpora import MixConfig
    from tasks.datasets.release import find_release
    from tasks.datasets.trained_models import models_to_retrain
    from tasks.datasets.version_index import retracted_clips
    from tasks.features.front_end import FrontEnd
    from tasks.publishing.publish_model import Registration, publish_model
    from tasks.steps.in_process import run_in_process
    from tasks.training.run_training import Workers

    work = training(1)
    recipe = Recipe(
        model=work.model,
        features=FrontEnd(sample_rate=8000, mels=8),
        fit=replace(work.fit, error_budget=0.5),
        batching=work.batching,
        beam=Beam(width=2),
    )
    with run_in_process():
        versions = [
            update_dataset("cv", find_release(parse_corpus(p)), IngestConfig()).version for p in three.places[:2]
        ]
        for number, version in enumerate(versions):
            plan = DatasetPlan(
                training=(version,),
                measured=versions[0],
                leaks=LeakConfig(speakers=False, recordings=False),
                mix=MixConfig(replay=0.5),
            )
            data = dataset_data(plan, recipe)
            trained = SPEECH.train(data.examples, data.tokenizer, recipe.training, Workers(count=0))
            bundle = SPEECH.finish(trained, data, recipe)
            outcome = SPEECH.outcome(
                bundle, data, recipe, held_out(data.corpus), RunContext("a title", time.time(), "")
            )
            about = {"corpus": "dataset:cv", "recipe": "r", "name": f"asr{number}", "alias": ""}
            publish_model(outcome, data.tokenizer, recipe, f"key-{number}", Registration(run_name="t", **about))
    gone = retracted_clips(versions[1])
    assert set(gone.values()) == {three.retracted}
    assert [(m.name, m.version, m.clips) for m in models_to_retrain(versions[1])] == [("asr0", "1", len(gone))]
    assert models_to_retrain(versions[0]) == []


def test_where_no_data_set_is_a_line_says_how_to_make_one(artifact_root, capsys, monkeypatch):
    assert "scriptorium dataset add NAME" in said(capsys, monkeypatch, "log")
