"""What is published can be fetched as it is stored, the manifest beside the files, so that it can be checked."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from text_models import language_model

from infra import model_registry, tracking
from infra.artifact_store import artifact_at, new_draft
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model, single_rows, track_training
from tasks.training.leaderboard import Ranking


@dataclass(frozen=True)
class Config:
    width: int = 3


def made(kind, **files):
    with new_draft(kind) as out:
        for name, value in files.items():
            out.put_json(f"{name}.json", value)
    return out.result()


pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of MLflow
WER = Ranking(metric="wer", curve="dev_wer", curve_label="dev WER")


@pytest.fixture
def published(artifact_root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    bundle, scores = language_model(), made("scores", scores={"wer": 0.25, "data": "a"})
    outcome = RunOutcome(
        bundle=bundle, page=made("report", page="<p>"), splits=("test",), scores=(scores,), data=(scores,), ranking=WER
    )
    about = Registration(run_name="a run", corpus="demo:", recipe="r", name="asr", alias="champion")
    return bundle, publish_model.fn(outcome, made("tokenizer", tokens=["a"]), Config(), "key", about)


def test_what_is_registered_is_the_whole_bundle(published):
    bundle, publication = published
    fetched = model_registry.resolve_model("asr@champion")
    assert artifact_at(fetched) == bundle
    there = {path.name: path.read_bytes() for path in Path(fetched).iterdir()}
    stored = {path.name: path.read_bytes() for path in Path(bundle.uri).iterdir()}
    assert {name: there[name] for name in stored} == stored
    assert "MLmodel" in there.keys() - stored.keys(), "what MLflow loads it by stands beside"
    assert model_registry.find_aliases("asr", "1") == ["champion"]
    assert model_registry.list_models()[0]["scores"]["test"]["value"] == 0.25
    told = publication.read_json("publication.json")
    assert (told["version"], told["digests"]["bundle"]) == ("1", bundle.digest)


@pytest.fixture
def about(artifact_root, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    return Registration(run_name="a run", corpus="manifest:/data/mine", recipe="r", name="asr", alias="")


def test_a_run_has_its_parameters_and_data_while_it_runs(about):
    shards, features = made("shards", a=1), made("features", a=2)

    def run():
        return tracking.client().get_run(tracking.find_run("key")[0])

    seen = []

    def fail():
        with track_training("key", about, Config(), (shards, features)):
            seen.append(run())
            raise KeyError("gone")

    with pytest.raises(KeyError):
        fail()
    (first,) = seen
    assert first.info.status == "RUNNING"
    assert first.data.params == {"corpus": "manifest:/data/mine", "recipe": "r", "width": "3"}
    data = {one.dataset.name: one.dataset.digest for one in first.inputs.dataset_inputs}
    assert data == {"manifest:/data/mine": shards.digest[:36], "features": features.digest[:36]}
    assert (run().info.status, run().data.tags["failure"]) == ("FAILED", "'gone'")
    with track_training("key", about, Config(), (shards, features)):
        assert (run().info.run_id, run().info.status) == (first.info.run_id, "RUNNING")
        assert len(run().inputs.dataset_inputs) == 2
    assert run().info.status == "FINISHED"


def test_a_run_that_holds_a_model_stays_as_it_was(published):
    about = Registration(run_name="another", corpus="demo:", recipe="r", name="asr", alias="")
    before = tracking.client().get_run(tracking.find_run("key")[0])
    with track_training("key", about, Config(width=4), ()):
        pass
    after = tracking.client().get_run(before.info.run_id)
    assert (after.data.params, after.info.end_time) == (before.data.params, before.info.end_time)


def test_a_number_of_the_finished_model_is_no_point_of_a_curve():
    history = [{"epoch": 1, "loss": 3.0, "dev_wer": 0.5}, {"epoch": 2, "loss": 2.0, "dev_wer": 0.25}]
    rows = single_rows({"dev_wer": 0.2, "loss": 1.5, "test_wer": 0.3}, history)
    assert rows == [("final_dev_wer", 0.2, 0), ("final_loss", 1.5, 0), ("test_wer", 0.3, 0)]
