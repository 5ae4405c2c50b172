"""What is published can be fetched as it is stored, the manifest beside the files, so that it can be checked."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from text_models import language_model

from infra import model_registry, tracking
from infra.artifact_store import artifact_at, new_draft
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
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
    fetched = tracking.resolve_model("asr@champion")
    assert artifact_at(fetched) == bundle
    there = {path.name: path.read_bytes() for path in Path(fetched).iterdir()}
    stored = {path.name: path.read_bytes() for path in Path(bundle.uri).iterdir()}
    assert {name: there[name] for name in stored} == stored
    assert "MLmodel" in there.keys() - stored.keys(), "what MLflow loads it by stands beside"
    assert model_registry.find_aliases("asr", "1") == ["champion"]
    assert model_registry.list_models()[0]["scores"]["test"]["value"] == 0.25
    told = publication.read_json("publication.json")
    assert (told["version"], told["digests"]["bundle"]) == ("1", bundle.digest)
