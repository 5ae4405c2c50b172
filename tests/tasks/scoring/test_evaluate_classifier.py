"""A classifier's scores against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_classifier import rows_of

from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_classifier import accuracy_interval, score_predictions


def test_scores_by_hand():
    """3 of 5 right. a: 2 true, 3 predicted, 2 hits; b: 2, 1, 1; c: 1, 0, 0; d: neither true nor predicted."""
    pairs = [("a", "a", 0.9), ("a", "a", 0.6), ("b", "b", 0.8), ("b", "a", 0.7), ("c", "a", 0.95)]
    told = score_predictions(rows_of(pairs), ["a", "b", "c", "d"], ScoringConfig())
    assert told["accuracy"] == pytest.approx(3 / 5)
    assert told["loss"] == pytest.approx(0.5)
    by = {row["label"]: row for row in told["by_label"]}
    assert (by["a"]["precision"], by["a"]["recall"]) == (2 / 4, 1)
    assert (by["b"]["precision"], by["b"]["recall"]) == (1, 1 / 2)
    assert (by["c"]["precision"], by["c"]["recall"], by["c"]["f1"]) == (0, 0, 0)
    assert by["d"]["items"] == by["d"]["predicted"] == 0
    assert told["macro_f1"] == pytest.approx((2 * 2 / 6 + 2 * 1 / 3 + 0) / 3)
    assert told["confusion"] == [("a", "a", 2), ("b", "a", 1), ("b", "b", 1), ("c", "a", 1)]
    assert [(r["reference"], r["label"]) for r in told["worst"]] == [("c", "a"), ("b", "a")]
    assert told["by_speaker"] == []


label = st.sampled_from("abcd")


@given(st.lists(st.tuples(label, label, st.floats(0.25, 1)), min_size=1, max_size=30))
def test_scores_against_their_definitions(pairs):
    """Each label as a question of yes and no, counted pair by pair."""
    told = score_predictions(rows_of(pairs), list("abcd"), ScoringConfig(resamples=10))
    f1 = []
    for row in told["by_label"]:
        name = row["label"]
        hits = sum(r == said == name for r, said, _ in pairs)
        false_alarms = sum(r != name == said for r, said, _ in pairs)
        missed = sum(r == name != said for r, said, _ in pairs)
        assert row["precision"] == (hits / (hits + false_alarms) if hits else 0)
        assert row["recall"] == (hits / (hits + missed) if hits else 0)
        if hits + false_alarms + missed:
            p, r = row["precision"], row["recall"]
            f1.append(2 * p * r / (p + r) if hits else 0.0)
            assert row["f1"] == pytest.approx(f1[-1])
    assert told["macro_f1"] == pytest.approx(np.mean(f1))
    assert sum(count for *_, count in told["confusion"]) == len(pairs)
    sure = [row["confidence"] for row in told["worst"]]
    assert sure == sorted(sure, reverse=True)
    assert all(row["label"] != row["reference"] for row in told["worst"])


def test_the_interval_is_the_bootstrap_over_items():
    """The binomial draw against drawing the items themselves."""
    hits, items = 170, 200
    random, right = np.random.default_rng(1), np.arange(items) < hits
    drawn_again = right[random.integers(0, items, (20000, items))].mean(1)
    expected = np.percentile(drawn_again, (2.5, 97.5))
    np.testing.assert_allclose(accuracy_interval(hits, items, ScoringConfig(resamples=20000)), expected, atol=0.005)
    assert accuracy_interval(5, 5, ScoringConfig()) == (1, 1)


def test_speakers_are_counted_where_there_are_any():
    rows = rows_of([("a", "a", 0.9), ("b", "a", 0.6), ("b", "b", 0.8)])
    for row, speaker in zip(rows, ("ann", "ann", ""), strict=True):
        row["speaker"] = speaker
    found = {
        row["speaker"]: (row["items"], row["accuracy"])
        for row in score_predictions(rows, ["a", "b"], ScoringConfig())["by_speaker"]
    }
    assert found == {"ann": (2, 0.5), "(unknown)": (1, 1.0)}
