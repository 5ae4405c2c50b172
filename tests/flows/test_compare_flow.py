"""Recipes against each other: a leaderboard, a page, one MLflow run with a run for each training; and none twice."""

from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from test_flows import states_of

from flows.recipes import asr, language_model, rnn_ablation
from flows.shared.validate_inputs import list_recipes, resolve_recipe, resolve_recipes
from infra.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
SMALL = (
    "fit.epochs=2",
    "model.recurrent.hidden_size=12",
    "model.readout=[16]",
    "chunks.length=20",
    "prompt.context=le ",
    "prompt.length=20",
)
LECTURE = 111_657


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "comparison")
    (tmp_path / "text.txt").write_text("le renard et le corbeau se parlent;\n" * 300)
    import ray

    ray.shutdown()  # workers take the artifact root from the session they belong to
    yield f"text:{tmp_path}/text.txt"
    ray.shutdown()


def test_the_whole_way(prefect_server, text):
    from mlflow import MlflowClient

    from flows import compare as comparing
    from infra import storage
    from infra.artifact_store import artifact_at
    from infra.settings import settings

    client = MlflowClient(settings().tracking_uri)
    registered = {(m.name, *m.aliases.items()) for m in client.search_registered_models()}
    call = {"corpus": text, "names": "cell_elman,cell_gr?", "settings": SMALL}
    result, first = states_of(comparing.compare, **call)
    trained = {name: state for name, state in first.items() if name.startswith(("train_", "evaluate_"))}
    assert len(trained) == 4
    assert set(trained.values()) == {"Cached"}, "they were done apart"
    board = artifact_at(result["paths"]["report"]).read_json("leaderboard.json")
    assert [row["recipe"] for row in board["recipes"]] == list(result["metrics"])
    assert set(result["metrics"]) == {"cell_elman", "cell_gru"}
    assert board["recipes"][0]["loss"] < board["recipes"][1]["loss"]
    for row in result["metrics"].values():
        assert row["updates"] == 14
        assert row["training_seconds"] > 0
        assert row["updates_per_second"] == pytest.approx(14 / row["training_seconds"])
        assert row["seeds"] == 1
        assert "spread" not in row
    page = storage.read(result["report"]).decode()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2
    assert "://" not in page, "nothing is loaded from elsewhere"

    assert {(m.name, *m.aliases.items()) for m in client.search_registered_models()} == registered, "no alias moves"
    parent = client.get_run(result["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["best_recipe"] == next(iter(result["metrics"]))
    assert {f.path for f in client.list_artifacts(parent.info.run_id, "report")} >= {"report/report.html"}
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {(run.data.params["recipe"], run.data.params["seed"]) for run in children} == {
        ("cell_elman", "0"),
        ("cell_gru", "0"),
    }
    for run in children:
        assert run.info.status == "FINISHED"
        curve = client.get_metric_history(run.info.run_id, "loss")
        assert sorted(point.step for point in curve) == [1, 2], "the score of the finished model is no point of it"
        assert "final_loss" in run.data.metrics
        assert run.data.params["fit.epochs"] == "2"
        loss = {m.value for m in client.get_metric_history(run.info.run_id, "dev_loss")}
        assert min(loss) == pytest.approx(result["metrics"][run.data.params["recipe"]]["loss"], abs=1e-6)
        assert len(loss) == 2

    again, second = states_of(comparing.compare, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}

    more, _ = states_of(comparing.compare, **call, seeds=(0, 1))
    rows = artifact_at(more["paths"]["report"]).read_json("leaderboard.json")["trainings"]
    assert [row for row in rows if row["seed"] == 0] == board["trainings"], "what was trained is not trained again"
    assert len(rows) == 4
    assert all(row["seeds"] == 2 and row["spread"] > 0 for row in more["metrics"].values())
    assert more["run_id"] != result["run_id"]


def test_one_that_fails_leaves_the_others(prefect_server, text, monkeypatch, capsys):
    from flows import compare as comparing
    from flows.shared import command_line

    def failing(place, plan, source):
        if plan.model.recurrent.cell == "gru":
            raise UserError("this recipe wants another corpus")
        return discipline.data(place, plan, source)

    discipline = comparing.MODULES[language_model]
    monkeypatch.setitem(comparing.MODULES, language_model, replace(discipline, data=failing))
    given = {"corpus": text, "names": "cell_elman,cell_gru", "settings": SMALL}
    monkeypatch.setattr(command_line, "end_orphans", lambda: None)
    monkeypatch.setattr(command_line, "force_exit_on_interrupt", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        command_line.run_flow(comparing.compare, Namespace(**given, seeds=(0,), json=False))
    assert ended.value.code == 1
    out, told = capsys.readouterr()
    assert "failed      cell_gru: this recipe wants another corpus\n" in out, told
    assert out.splitlines()[1].startswith("cell_elman")

    monkeypatch.setitem(comparing.MODULES, language_model, discipline)
    given["settings"] = (*SMALL, "prompt.context=Ω")
    with pytest.raises(UserError, match=r"cell_elman, seed 0: .*not in the vocabulary.*others failed too"):
        comparing.compare(**given)


def test_patterns_and_what_is_wrong_with_them(tmp_path):
    (tmp_path / "a.txt").write_text("abc")
    corpus, modules = f"text:{tmp_path}/a.txt", (asr, language_model)
    module, place, plans = resolve_recipes(corpus, "cell_gru*,cell_lstm", ("fit.epochs=3",), modules)
    assert module is language_model
    assert str(place) == corpus
    assert set(plans) == {"cell_gru", "cell_gru_inside", "cell_gru_layer_norm", "cell_lstm"}
    assert {plan.fit.epochs for plan in plans.values()} == {3}
    for patterns, settings, says in (
        ("cell_grue", (), "did you mean cell_gru"),
        ("cell_lstm,nothing_*", (), "'nothing_"),
        ("cell_lstm,deep_speech_2_demo", (), "only recipes of one module"),
        ("cell_lstm,cell_gated_convnet", ("model.recurrent.layers=1",), "recipe cell_gated_convnet: --set"),
        ("cell_lstm", ("fit.seed=3",), "--seeds"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            resolve_recipes(corpus, patterns, settings, modules)
        assert "\n" not in str(caught.value)
    assert resolve_recipe(corpus, "cell_irnn", (), language_model)[1] == rnn_ablation.cell_irnn(), (
        "the flow of language models knows them"
    )


def test_every_cell_has_the_budget():
    """Parameters within 5 % of the lecture's network; all else that could decide a comparison is the same."""
    plans = {name: getattr(rnn_ablation, name)() for name in list_recipes(rnn_ablation)}
    assert len(plans) == 32
    for name, plan in plans.items():
        with torch.device("meta"):
            count = sum(p.numel() for p in plan.model.build(105, 105).parameters())
        assert abs(count / LECTURE - 1) < 0.05, (name, count)
        assert replace(plan, model=None) == replace(plans["cell_lstm"], model=None), name
    assert plans["cell_lstm"].model == language_model.char_rnn_fables().model, "the lecture's network itself"
    described = [line for name, line in list_recipes(language_model).items() if name in plans]
    assert len(described) == len(set(described)) == 32
