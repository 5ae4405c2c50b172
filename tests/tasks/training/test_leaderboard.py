"""The ranking of a comparison by hand; its pictures; and that one recipe's fault stays its own."""

import json
import math
import time

import pytest

from infra.artifact_store import Artifact, find_result, new_draft, open_draft
from infra.errors import UserError
from tasks.reports.plots.plot_comparison import Curve, plot_overlay, plot_panels
from tasks.steps.in_process import is_in_process, run_in_process
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import run_jobs
from tasks.steps.run_facts import describe_machine
from tasks.training.leaderboard import Ranking, rank_recipes
from tasks.training.parallel_trials import Trial, train_trial
from tasks.training.run_training import Workers
from tasks.training.training_duration import (
    TrainingRecord,
    TrainingTime,
    load_progress,
    load_record,
    load_time,
    save_time,
)

LOSS = Ranking(metric="loss", curve="dev_loss", curve_label="nats")


def test_means_and_spread_over_seeds_by_hand():
    board = rank_recipes(
        [
            ("a", {"loss": 1.0, "accuracy": 0.5, "parameters": 7, "best_epoch": 3}),
            ("b", {"loss": 0.9, "accuracy": 0.4, "parameters": 8, "best_epoch": 2}),
            ("a", {"loss": 1.6, "accuracy": 0.7, "parameters": 7, "best_epoch": 4}),
            ("a", {"loss": 1.0, "accuracy": 0.6, "parameters": 7, "best_epoch": 4}),
        ],
        LOSS,
    )
    assert list(board) == ["b", "a"]
    assert board["a"]["loss"] == pytest.approx(1.2)
    assert board["a"]["spread"] == pytest.approx(math.sqrt((0.04 + 0.16 + 0.04) / 2))
    assert board["a"]["accuracy"] == pytest.approx(0.6)
    assert board["a"]["best_epoch"] == pytest.approx(11 / 3)
    assert board["a"]["parameters"] == 7
    assert isinstance(board["a"]["parameters"], int)
    assert board["a"]["seeds"] == 3
    assert board["b"] == {"loss": 0.9, "accuracy": 0.4, "parameters": 8, "best_epoch": 2, "seeds": 1}


def test_the_largest_may_be_the_best_and_what_is_no_number_is_last():
    rows = [("lost", {"accuracy": math.nan}), ("low", {"accuracy": 0.2}), ("high", {"accuracy": 0.9})]
    ranking = Ranking(metric="accuracy", curve="dev_error", curve_label="error", descending=True)
    assert list(rank_recipes(rows, ranking)) == ["high", "low", "lost"]
    rows = [("lost", {"loss": math.nan}), ("high", {"loss": 0.9}), ("low", {"loss": 0.2})]
    assert list(rank_recipes(rows, LOSS)) == ["low", "high", "lost"]


def test_a_number_that_one_seed_lacks_is_left_out():
    board = rank_recipes([("a", {"loss": 1.0, "training_seconds": 3.0}), ("a", {"loss": 3.0})], LOSS)
    assert board == {"a": {"loss": 2.0, "spread": pytest.approx(math.sqrt(2)), "seeds": 2}}


@pytest.mark.parametrize("count", [1, 2, 11])
def test_pictures_of_few_and_many(count):
    curves = [
        Curve(f"cell_{i}", (((10, 20), (2.0, 1.0 + i / 10)), ((10, 20), (2.1, 1.2 + i / 10)))) for i in range(count)
    ]
    assert curves[0].best == pytest.approx(1.1)
    for drawn in (plot_overlay, plot_panels):
        assert drawn(curves, "nats").startswith("<svg ")


def test_a_picture_of_runs_that_are_no_numbers():
    curves = [Curve("a", (((1, 2), (2.0, 1.0)),)), Curve("b", (((1, 2), (math.nan, math.nan)),))]
    assert plot_overlay(curves, "nats").startswith("<svg ")
    assert plot_panels(curves[1:], "nats").startswith("<svg ")


def test_the_clock_of_a_training(artifact_root):
    key = "ab" * 32
    assert load_time(key) is None
    assert load_progress(key) == {}
    training = open_draft("training", key[:32])
    training.put_json("progress.json", {"step": 40, "updates": 40, "seconds": 8.0, "core_seconds": 5.0, "epoch": 2})
    assert load_progress(key)["step"] == 40
    before = time.time()
    save_time(training, workers=2)
    training.discard()
    clock = TrainingTime(seconds=8.0, core_seconds=5.0, updates=40)
    assert load_time(key) == clock
    record = load_record(key)
    assert record is not None
    assert (record.clock, record.workers, record.machine) == (clock, 2, describe_machine())
    assert before <= record.ended <= time.time()
    (place,) = (artifact_root / ".clocks").iterdir()
    place.write_text(json.dumps({"seconds": 8.0, "core_seconds": 5.0, "updates": 40}))  # as it was noted before
    assert load_record(key) == TrainingRecord(clock)


calls: list[str] = []


@step
def made(name: str, workers: Workers) -> Artifact:
    """As a training: an artifact, or what is wrong."""
    calls.append(name)
    if name == "wrong":
        raise UserError("this cannot be done")
    if name == "broken":
        raise IndexError("index 5 is out of range\nand more")
    with new_draft("bundle") as out:
        out.put_json(
            "name.json", [name, workers.count, is_in_process(), *run_jobs(doubled, [{"n": 2}, {"n": 3}], "double")]
        )
    return out.result()


def doubled(job):
    return {"n": 2 * job["n"]}


def apart(name, scored=lambda bundle: bundle):
    return Trial(recipe=name, seed=0, step=made, inputs=(name,), scored=scored)


def test_a_training_apart_is_remembered_without_prefect_and_ray(artifact_root):
    seen = []
    assert train_trial(apart("right", seen.append)) == ""
    bundle = find_result(apart("right").key)
    assert seen == [bundle]
    assert bundle is not None
    assert bundle.read_json("name.json") == ["right", 0, True, {"n": 4}, {"n": 6}]
    before = len(calls)
    assert train_trial(apart("right")) == ""
    assert len(calls) == before, "it is not done twice"
    assert not is_in_process()


def test_what_goes_wrong_is_one_line_whatever_it_is(artifact_root):
    assert train_trial(apart("wrong")) == "this cannot be done"
    assert train_trial(apart("broken")) == "IndexError: index 5 is out of range"
    assert find_result(apart("wrong").key) is None


def test_alone_ends_with_its_block():
    with run_in_process():
        assert is_in_process()
    assert not is_in_process()
    with pytest.raises(UserError), run_in_process():
        made.fn("wrong", Workers())
    assert not is_in_process()
