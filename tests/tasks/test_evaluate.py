"""Error rates against a Levenshtein distance of our own and arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate import Scoring, bucket, interval, score

words = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=8).map(" ".join)


def distance(hypothesis, reference):
    row = list(range(len(reference) + 1))
    for i, h in enumerate(hypothesis, start=1):
        previous, row[0] = row[0], i
        for j, r in enumerate(reference, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (h != r))
    return row[-1]


def rows(pairs):
    same = {"speaker": "s", "seconds": 1.0, "confidence": 0.5}
    return [{"key": str(i), "reference": r, "text": h} | same for i, (r, h) in enumerate(pairs)]


@given(st.lists(st.tuples(words, st.one_of(words, st.just(""))), min_size=1, max_size=6))
def test_rates_are_edit_distances_over_reference_lengths(pairs):
    told = score(rows(pairs), Scoring(resamples=10))
    by_word = sum(distance(h.split(), r.split()) for r, h in pairs)
    by_letter = sum(distance(h, r) for r, h in pairs)
    assert told["wer"] == pytest.approx(by_word / sum(len(r.split()) for r, _ in pairs))
    assert told["cer"] == pytest.approx(by_letter / sum(len(r) for r, _ in pairs))
    parts = told["words"]
    assert parts["substitutions"] + parts["deletions"] + parts["insertions"] == by_word


def test_groups_add_up_and_the_worst_come_first():
    told = score(rows([("a b", "a b"), ("a b c", ""), ("a", "b")]), Scoring(resamples=10))
    assert sum(g["words"] for g in told["by_speaker"]) == told["words"]["reference"] == 6
    assert [w["errors"] for w in told["worst"]] == [3, 1]


def test_interval_covers_the_true_rate_about_95_times_in_100():
    random, covered = np.random.default_rng(0), 0
    for trial in range(200):
        errors = random.binomial(10, 0.2, 100)
        counts = np.stack([errors, 0 * errors, 0 * errors, 0 * errors + 10], 1)
        low, high = interval(counts, Scoring(resamples=300, seed=trial))
        covered += low <= 0.2 <= high
    assert 180 <= covered <= 199


def test_buckets():
    assert [bucket(s) for s in (0.5, 2.0, 7.9, 99)] == ["0 to 2 s", "2 to 4 s", "4 to 8 s", "16 s and more"]
