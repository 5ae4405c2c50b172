"""The ranking of a comparison by hand; its pictures; and that one recipe's fault stays its own."""

import math

import pytest

from infra.problem import Problem
from infra.store import Artifact, draft, open_draft, recall
from tasks.alone import alone, is_alone
from tasks.clock import Clock, clock_of, note_clock, progress_of
from tasks.draw_comparison import Curve, overlaid, side_by_side
from tasks.leaderboard import Ranking, ranked
from tasks.parallel import run_jobs
from tasks.step import step
from tasks.train_apart import Apart, train_here
from tasks.training_run import Workers

LOSS = Ranking(metric="loss", curve="dev_loss", curve_label="nats")


def test_means_and_spread_over_seeds_by_hand():
    board = ranked(
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
    assert list(ranked(rows, ranking)) == ["high", "low", "lost"]
    rows = [("lost", {"loss": math.nan}), ("high", {"loss": 0.9}), ("low", {"loss": 0.2})]
    assert list(ranked(rows, LOSS)) == ["low", "high", "lost"]


def test_a_number_that_one_seed_lacks_is_left_out():
    board = ranked([("a", {"loss": 1.0, "training_seconds": 3.0}), ("a", {"loss": 3.0})], LOSS)
    assert board == {"a": {"loss": 2.0, "spread": pytest.approx(math.sqrt(2)), "seeds": 2}}


@pytest.mark.parametrize("count", [1, 2, 11])
def test_pictures_of_few_and_many(count):
    curves = [
        Curve(f"cell_{i}", (((10, 20), (2.0, 1.0 + i / 10)), ((10, 20), (2.1, 1.2 + i / 10)))) for i in range(count)
    ]
    assert curves[0].best == pytest.approx(1.1)
    for drawn in (overlaid, side_by_side):
        assert drawn(curves, "nats").startswith(b"\x89PNG")


def test_a_picture_of_runs_that_are_no_numbers():
    curves = [Curve("a", (((1, 2), (2.0, 1.0)),)), Curve("b", (((1, 2), (math.nan, math.nan)),))]
    assert overlaid(curves, "nats").startswith(b"\x89PNG")
    assert side_by_side(curves[1:], "nats").startswith(b"\x89PNG")


def test_the_clock_of_a_training(artifact_root):
    key = "ab" * 32
    assert clock_of(key) is None
    assert progress_of(key) == {}
    training = open_draft("training", key[:32])
    training.put_json("progress.json", {"step": 40, "updates": 40, "seconds": 8.0, "core_seconds": 5.0, "epoch": 2})
    assert progress_of(key)["step"] == 40
    note_clock(training)
    training.discard()
    assert clock_of(key) == Clock(seconds=8.0, core_seconds=5.0, updates=40)


calls: list[str] = []


@step
def made(name: str, workers: Workers) -> Artifact:
    """As a training: an artifact, or what is wrong."""
    calls.append(name)
    if name == "wrong":
        raise Problem("this cannot be done")
    if name == "broken":
        raise IndexError("index 5 is out of range\nand more")
    with draft("bundle") as out:
        out.put_json("name.json", [name, workers.count, is_alone(), *run_jobs(doubled, [{"n": 2}, {"n": 3}], "double")])
    return out.result()


def doubled(job):
    return {"n": 2 * job["n"]}


def apart(name, scored=lambda bundle: bundle):
    return Apart(recipe=name, seed=0, step=made, inputs=(name,), scored=scored)


def test_a_training_apart_is_remembered_without_prefect_and_ray(artifact_root):
    seen = []
    assert train_here(apart("right", seen.append)) == ""
    bundle = recall(apart("right").key)
    assert seen == [bundle]
    assert bundle is not None
    assert bundle.read_json("name.json") == ["right", 0, True, {"n": 4}, {"n": 6}]
    before = len(calls)
    assert train_here(apart("right")) == ""
    assert len(calls) == before, "it is not done twice"
    assert not is_alone()


def test_what_goes_wrong_is_one_line_whatever_it_is(artifact_root):
    assert train_here(apart("wrong")) == "this cannot be done"
    assert train_here(apart("broken")) == "IndexError: index 5 is out of range"
    assert recall(apart("wrong").key) is None


def test_alone_ends_with_its_block():
    with alone():
        assert is_alone()
    assert not is_alone()
    with pytest.raises(Problem), alone():
        made.fn("wrong", Workers())
    assert not is_alone()
