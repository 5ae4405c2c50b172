"""Which version is champion, by a real registry in a file: earned on the same data, promoted by hand, given back."""

import json
import subprocess
import sys

import pytest

from infra import model_registry, tracking
from infra.errors import UserError
from infra.model_registry import CHALLENGER, CHAMPION, Score


@pytest.fixture(autouse=True)
def _record(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))


def publish(wer, data="a", split="test"):
    """A version with this score, called what the rule calls it; the rule's decision and the version."""
    scores = {split: Score("wer", wer, False, data)}
    run_id = tracking.open_run(f"{wer} {data} {split}", "a run", {})
    version = tracking.register(run_id, "asr", model_registry.score_tags(scores))
    decision = model_registry.decide("asr", version, scores)
    model_registry.set_alias("asr", decision.alias, version)
    return decision, version


def champion():
    return tracking.find_version("asr", CHAMPION)


def test_a_champion_is_earned_on_the_same_data():
    first, one = publish(0.0094)
    assert (first.alias, first.reason, champion()) == (CHAMPION, "", one)
    trial, two = publish(0.61)
    assert (trial.alias, champion()) == (CHALLENGER, one), "a trial takes nothing away"
    assert trial.reason == f"the champion, version {one}, has wer 0.94% on test; scriptorium promote asr {two}"
    better, three = publish(0.005)
    assert (better.alias, champion()) == (CHAMPION, three)
    assert f"version {one}, which has wer 0.94%" in better.reason


@pytest.mark.parametrize("other", [{"data": "b"}, {"split": "dev"}])
def test_a_number_on_other_data_is_no_evidence(other):
    _, one = publish(0.5)
    decision, two = publish(0.1, **other)
    assert (decision.alias, champion()) == (CHALLENGER, one)
    assert "was measured on other data" in decision.reason
    assert model_registry.promote("asr") == two == champion()
    assert tracking.find_version("asr", CHALLENGER) == "", "a champion is no challenger"


def test_more_is_better_where_the_metric_says_so():
    assert Score("accuracy", 0.9, True, "a").beats(Score("accuracy", 0.8, True, "a"))
    assert not Score("wer", 0.9, False, "a").beats(Score("wer", 0.8, False, "a"))
    assert not Score("wer", 0.8, False, "a").beats(Score("wer", 0.8, False, "a"))


def test_back_to_the_champions_of_before():
    versions = [publish(wer)[1] for wer in (0.3, 0.2, 0.1)]
    assert champion() == versions[2]
    assert model_registry.rollback("asr") == versions[1] == champion()
    assert model_registry.rollback("asr") == versions[0] == champion()
    with pytest.raises(UserError, match="no champion of before"):
        model_registry.rollback("asr")


def test_what_is_not_there_is_named():
    publish(0.3)
    with pytest.raises(UserError, match="no version 7"):
        model_registry.promote("asr", "7")
    with pytest.raises(UserError, match="no challenger"):
        model_registry.promote("asr")


@pytest.mark.parametrize("model", ["/models/nope", "./nope", "models/nope/1", "asr/latest"])
def test_a_path_where_nothing_is_asks_no_server(model, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="there is no such folder; write NAME@ALIAS, NAME/VERSION or the path"):
        model_registry.resolve_model(model)


def test_the_command():
    _, one = publish(0.3)
    _, two = publish(0.4)

    def run(*arguments):
        command = [sys.executable, "-m", "infra.model_registry", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    rows = json.loads(run("models", "asr", "--json").stdout)
    assert [(row["version"], row["aliases"]) for row in rows] == [(one, [CHAMPION]), (two, [CHALLENGER])]
    assert rows[0]["scores"]["test"]["value"] == 0.3
    assert run("promote", "asr", two).stdout == f"asr@champion is version {two}\n"
    assert champion() == two
    wrong = run("rollback", "nobody")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.count("\n") == 1


def test_a_decision_is_applied_once_and_only_against_the_champion_it_was_made_for():
    (_, first), (_, second) = publish(0.5), publish(0.6)
    found = model_registry.Decision("champion", "better", first, "file:/evidence")
    for _ in range(2):
        assert model_registry.apply_decision("asr", second, found) == found
        assert model_registry.list_champions("asr") == [first, second]
    assert json.loads(model_registry.version_tags("asr", second)[model_registry.DECISION_TAG]) == found._asdict()
    _, third = publish(0.7)
    late = model_registry.apply_decision("asr", third, model_registry.Decision("champion", "better", first))
    assert late.alias == "challenger"
    assert "the champion is version 2 now, and was version 1 when they were compared" in late.reason
    assert model_registry.find_aliases("asr", third) == ["challenger"]
    assert champion() == second


def test_what_a_process_registered_before_it_died_is_not_registered_again():
    run_id = tracking.open_run("key", "name", {})
    tags = {"bundle": "ab", "scriptorium.score.dev": "x"}
    version = tracking.register(run_id, "asr", tags)
    assert tracking.register(run_id, "asr", tags) == version
    assert tracking.register(run_id, "asr", tags | {"bundle": "cd"}) != version
