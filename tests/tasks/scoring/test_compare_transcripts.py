"""The paired bootstrap on systems whose difference is known, and what a comparison says of each utterance."""

import numpy as np
import pytest

from tasks.scoring.compare_transcripts import compare_transcripts
from tasks.scoring.evaluate_asr import ScoringConfig, score_transcripts
from tasks.scoring.paired_bootstrap import paired_bootstrap

TRIALS = 400


def systems(random, *, gain=0.0, utterances=150):
    """Errors of two systems in the same utterances, hard or easy for both; of the first `gain` a word less."""
    lengths = random.integers(3, 15, utterances)
    hard = random.beta(2, 8, utterances) + 0.02
    return random.binomial(lengths, np.maximum(hard - gain, 0)), random.binomial(lengths, hard), lengths


def verdicts(gain):
    random = np.random.default_rng(1)
    return [paired_bootstrap(*systems(random, gain=gain), resamples=400, seed=i) for i in range(TRIALS)]


def test_without_a_difference_one_is_claimed_in_5_of_100_trials():
    found = [told.verdict for told in verdicts(0.0)]
    better, worse = found.count("better") / TRIALS, found.count("worse") / TRIALS
    assert 0.025 <= better + worse <= 0.085, "95 % of the intervals hold the truth, which is 0"
    assert abs(better - worse) < 0.04, "neither is preferred"


def test_the_interval_holds_a_true_difference_and_finds_it():
    found = verdicts(0.015)  # less than the least hard utterance has
    covered = np.mean([told.low <= -0.015 <= told.high for told in found])
    assert 0.91 <= covered <= 0.98
    assert np.mean([told.difference for told in found]) == pytest.approx(-0.015, abs=0.002)
    better = [told.verdict == "better" for told in found]
    assert np.mean(better) > 0.1
    assert not any(told.verdict == "worse" for told in found[:100])


def test_what_both_find_hard_does_not_hide_a_difference():
    """One word better in each of 60 utterances: seen, though the intervals of the two rates overlap."""
    random = np.random.default_rng(0)
    theirs = random.integers(1, 9, 60)
    told = paired_bootstrap(theirs - 1, theirs, np.full(60, 10))
    assert told.difference == pytest.approx(-0.1)
    assert (told.low, told.high) == (pytest.approx(-0.1), pytest.approx(-0.1))
    assert (told.verdict, told.improvement) == ("better", 1.0)
    same = paired_bootstrap(theirs, theirs, np.full(60, 10))
    assert (same.low, same.high, same.verdict, same.improvement) == (0, 0, "no clear difference", 0.5)


def test_the_draws_are_the_same_however_many_are_held_at_once(monkeypatch):
    given = systems(np.random.default_rng(3))
    whole = paired_bootstrap(*given, resamples=50)
    monkeypatch.setattr("tasks.scoring.paired_bootstrap.DRAWN_AT_ONCE", 1)
    assert paired_bootstrap(*given, resamples=50) == whole
    with pytest.raises(ValueError, match="no utterance"):
        paired_bootstrap(*(np.zeros(0),) * 3)


def rows(texts, references):
    same = {"speaker": "s", "seconds": 1.0, "confidence": 0.5}
    pairs = zip(texts, references, strict=True)
    return [
        {"key": f"k{i}", "reference": r, "text": t, "hypotheses": [{"text": t}]} | same
        for i, (t, r) in enumerate(pairs)
    ]


def test_which_utterances_became_better_and_worse():
    said = ["a b c", "d e", "f", "", "g h"]
    ours, theirs = rows(["a b c", "d x", "f", "", "g"], said), rows(["a", "d e", "f", "noise", "h"], said)
    told = compare_transcripts(ours, theirs[::-1], ScoringConfig(resamples=50))
    assert told["wer"] == score_transcripts(ours, ScoringConfig(resamples=2))["wer"]
    assert told["other_wer"] == score_transcripts(theirs, ScoringConfig(resamples=2))["wer"]
    assert told["difference"] == told["wer"] - told["other_wer"]
    assert [(row["key"], row["errors"], row["other_errors"]) for row in told["better"]] == [("k0", 0, 2), ("k3", 0, 1)]
    assert [(row["key"], row["text"], row["other_text"]) for row in told["worse"]] == [("k1", "d x", "d e")]
    assert told["same"] == 2
    assert compare_transcripts(ours, theirs[:-1], ScoringConfig()) is None, "fewer utterances"
    assert compare_transcripts(ours, rows(["a"] * 5, ["a"] * 5), ScoringConfig()) is None, "other references"
