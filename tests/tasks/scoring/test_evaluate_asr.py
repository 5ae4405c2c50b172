"""Error rates against a Levenshtein distance of our own and arithmetic."""

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scoring.calibration import calibration
from tasks.scoring.evaluate_asr import ScoringConfig, confidence_interval, length_bucket, score_transcripts

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
    return [
        {"key": str(i), "reference": r, "text": h, "hypotheses": [{"text": h}]} | same for i, (r, h) in enumerate(pairs)
    ]


def nbest(reference, texts, confidence=0.5):
    (row,) = rows([(reference, texts[0])])
    return row | {"hypotheses": [{"text": text} for text in texts], "confidence": confidence}


@given(st.lists(st.tuples(words, st.one_of(words, st.just(""))), min_size=1, max_size=6))
def test_rates_are_edit_distances_over_reference_lengths(pairs):
    told = score_transcripts(rows(pairs), ScoringConfig(resamples=10))
    by_word = sum(distance(h.split(), r.split()) for r, h in pairs)
    by_letter = sum(distance(h, r) for r, h in pairs)
    assert told["wer"] == pytest.approx(by_word / sum(len(r.split()) for r, _ in pairs))
    assert told["cer"] == pytest.approx(by_letter / sum(len(r) for r, _ in pairs))
    parts = told["words"]
    assert parts["substitutions"] + parts["deletions"] + parts["insertions"] == by_word


def test_groups_add_up_and_the_worst_come_first():
    told = score_transcripts(rows([("a b", "a b"), ("a b c", ""), ("a", "b")]), ScoringConfig(resamples=10))
    assert sum(g["words"] for g in told["by_speaker"]) == told["words"]["reference"] == 6
    assert [w["errors"] for w in told["worst"]] == [3, 1]


def test_interval_covers_the_true_rate_about_95_times_in_100():
    random, covered = np.random.default_rng(0), 0
    for trial in range(200):
        errors = random.binomial(10, 0.2, 100)
        counts = np.stack([errors, 0 * errors, 0 * errors, 0 * errors + 10], 1)
        low, high = confidence_interval(counts, ScoringConfig(resamples=300, seed=trial))
        covered += low <= 0.2 <= high
    assert 180 <= covered <= 199


def test_buckets():
    assert [length_bucket(s) for s in (0.5, 2.0, 7.9, 99)] == ["0 to 2 s", "2 to 4 s", "4 to 8 s", "16 s and more"]


def test_the_oracle_takes_the_best_of_each_n_best():
    """3 and 2 words; the best hypotheses have 2 errors and 1; the best of the n-best, 1 and 0, add up to 1 of 5."""
    told = score_transcripts(
        [nbest("a b c", ["a", "x b c", "b"]), nbest("a b", ["a c", "b a", "a b"])], ScoringConfig(resamples=10)
    )
    assert told["wer"] == pytest.approx(3 / 5)
    assert told["oracle_wer"] == pytest.approx(1 / 5)
    assert told["oracle_words"] == {"substitutions": 1, "deletions": 0, "insertions": 0, "reference": 5}


@given(st.lists(st.tuples(words, st.lists(st.one_of(words, st.just("")), min_size=1, max_size=4)), min_size=1))
def test_the_oracle_is_the_least_edit_distance(pairs):
    told = score_transcripts([nbest(reference, texts) for reference, texts in pairs], ScoringConfig(resamples=2))
    least = sum(min(distance(h.split(), r.split()) for h in texts) for r, texts in pairs)
    assert told["oracle_wer"] == pytest.approx(least / sum(len(r.split()) for r, _ in pairs))
    assert told["oracle_wer"] <= told["wer"]


def test_calibration_by_hand():
    """0.91 and 0.99 are in one bin, of which three of four words are right; 1.0 is in it as well, 0.9 begins it."""
    sure = np.array([0.91, 0.99, 0.2, np.nan])
    told = calibration(sure, np.array([1.0, 0.5, 0.5, 0.0]))
    low, high = told["reliability"]
    assert low == pytest.approx({"from": 0.2, "to": 0.3, "utterances": 1, "confidence": 0.2, "right": 0.5})
    assert high == pytest.approx({"from": 0.9, "to": 1.0, "utterances": 2, "confidence": 0.95, "right": 0.75})
    assert told["calibration_error"] == pytest.approx((1 * 0.3 + 2 * 0.2) / 3)
    edges = calibration(np.array([0.9, 1.0, 0.0]), np.ones(3))["reliability"]
    assert [(row["from"], row["utterances"]) for row in edges] == [(0.0, 1), (0.9, 2)]


def test_what_a_confidence_is_held_against():
    """2 of 3 words and 1 put in: 2 right of 4. Nothing right of what was spoken: 0. All right: 1."""
    pairs = [nbest("a b c", ["a b x d"], 0.55), nbest("a", ["b"], 0.05), nbest("a b", ["a b"], 0.95)]
    told = score_transcripts(pairs, ScoringConfig(resamples=2))
    assert [row["right"] for row in told["reliability"]] == [0, 0.5, 1]
    assert told["calibration_error"] == pytest.approx(0.05)


def test_without_a_confidence_there_is_no_calibration():
    told = score_transcripts([nbest("a", ["a"], float("nan"))], ScoringConfig(resamples=2))
    assert (told["confidence"], told["calibration_error"], told["reliability"]) == (None, None, [])


def test_perfect_confidence_has_no_error():
    random = np.random.default_rng(0)
    sure = random.uniform(0, 1, 200_000)
    assert calibration(sure, random.random(200_000) < sure)["calibration_error"] < 0.005
    assert calibration(sure, random.random(200_000) < sure**2)["calibration_error"] == pytest.approx(1 / 6, abs=0.005)


@given(st.lists(st.tuples(st.one_of(words, st.just("")), st.one_of(words, st.just(""))), min_size=1, max_size=6))
def test_what_is_put_into_silence_counts(pairs):
    """jiwer's rate of the corpus; where nothing at all was said, the number of words put in."""
    told = score_transcripts(rows(pairs), ScoringConfig(resamples=2))
    references, heard = map(list, zip(*pairs, strict=True))
    assert told["wer"] == pytest.approx(jiwer.wer(references, heard))
    assert told["words"]["insertions"] == jiwer.process_words(references, heard).insertions
    assert told["silent"] == references.count("")


def test_what_came_to_the_limit_of_length_is_counted():
    cut = [row | {"truncated": i < 2} for i, row in enumerate(rows([("a b c", "a"), ("a b", "a b"), ("a", "a")]))]
    assert score_transcripts(cut, ScoringConfig(resamples=2))["truncated"] == 2
