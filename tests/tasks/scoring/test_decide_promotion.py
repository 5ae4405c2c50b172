"""The rule of promotion: how often it is wrong, by simulation; and what blocks."""

import numpy as np
import pytest

from tasks.scoring.decide_promotion import (
    KEPT,
    SMALL,
    SPEAKER,
    UTTERANCE,
    WORSE,
    PairedErrors,
    PromotionRule,
    decide_promotion,
    group_utterances,
    pair_transcripts,
)

SPEAKERS, UTTERANCES = 24, 240
RULE = PromotionRule(resamples=500)


def drawn(random, better, speakers=SPEAKERS, utterances=UTTERANCES):
    """Errors of a champion with a third of the words wrong, speakers and utterances of their own difficulty, for each
    speaker a difference of the two models; the challenger has on average `better` points fewer.
    """
    who = np.arange(utterances) % speakers
    lengths = random.integers(4, 12, utterances)
    hard = random.beta(3, 6, speakers)[who] * random.uniform(0.6, 1.4, utterances)
    apart = random.normal(0, 0.02, speakers)[who]
    champion = random.binomial(lengths, np.clip(hard, 0, 1))
    challenger = random.binomial(lengths, np.clip(hard + apart - better, 0, 1))
    return PairedErrors(challenger, champion, lengths, np.array([f"s{n}" for n in who]))


def groups_of(pairs):
    half = [("male", "female")[int(s[1:]) % 2] for s in pairs.speakers]
    return [("gender", half), ("length", ["short" if n < 8 else "long" for n in pairs.lengths])]


def promoted(better, trials, **how):
    random = np.random.default_rng(7)
    pairs = [drawn(random, better, **how) for _ in range(trials)]
    return sum(decide_promotion(one, groups_of(one), RULE).promoted for one in pairs) / trials


@pytest.mark.parametrize("speakers", [PromotionRule().min_speakers, SPEAKERS, UTTERANCES])
def test_without_a_difference_at_most_one_of_twenty_is_promoted(speakers):
    assert promoted(0.0, 1000, speakers=speakers) <= 0.05


def test_power():
    """33 % of the words wrong, 240 utterances of 24 speakers: five points better are seen in four of five trials."""
    assert promoted(0.05, 200) >= 0.8
    assert promoted(-0.05, 200) == 0.0


def test_speakers_are_drawn_where_they_are_known():
    pairs = drawn(np.random.default_rng(0), 0.1)
    assert decide_promotion(pairs, [], RULE).evidence["unit"] == SPEAKER
    unknown = pairs._replace(speakers=np.where(np.arange(UTTERANCES) == 3, "", pairs.speakers))
    assert decide_promotion(unknown, [], RULE).evidence["unit"] == UTTERANCE
    few = drawn(np.random.default_rng(0), 0.1, speakers=RULE.min_speakers - 1)
    assert decide_promotion(few, [], RULE).evidence["unit"] == UTTERANCE


def slice_of(share, worse_by, utterances=UTTERANCES):
    """Much better on the whole, worse for the first part."""
    mine = np.arange(utterances) < share * utterances
    lengths = np.full(utterances, 10)
    other = np.full(utterances, 4) + np.arange(utterances) % 2
    errors = np.where(mine, other + worse_by, other - 2)
    pairs = PairedErrors(errors, other, lengths, np.array([""] * utterances))
    return decide_promotion(pairs, [("accent", np.where(mine, "north", "south").tolist())], RULE)


def test_a_slice_that_is_worse_blocks_and_a_tiny_one_does_not():
    verdict = slice_of(0.2, 2)
    assert not verdict.promoted
    assert verdict.evidence["overall"]["high"] < 0
    assert [row["verdict"] for row in verdict.evidence["slices"]] == [WORSE, KEPT]
    assert "worse for 1 of the slices: accent north: +20.00 points" in verdict.reason
    tiny = slice_of(0.1, 2)
    assert tiny.promoted
    assert tiny.evidence["slices"][0]["utterances"] == 24
    assert tiny.evidence["slices"][0]["verdict"] == SMALL
    assert slice_of(0.2, 0).promoted


def test_a_hundred_slices_of_noise_do_not_block():
    random, blocked = np.random.default_rng(1), 0
    for _ in range(10):
        utterances = 4000
        lengths, speakers = np.full(utterances, 10), np.array([f"s{n % 100}" for n in range(utterances)])
        other, errors = random.binomial(10, 0.33, utterances), random.binomial(10, 0.30, utterances)
        pairs = PairedErrors(errors, other, lengths, speakers)
        verdict = decide_promotion(pairs, [("speaker", speakers.tolist())], PromotionRule())
        assert verdict.evidence["overall"]["high"] < 0
        blocked += not verdict.promoted
    assert blocked <= 1


def row(key, reference, text, **told):
    return {"key": key, "reference": reference, "text": text, "speaker": "s", "seconds": 3.0} | told


def test_errors_of_both_by_words_or_characters():
    rows, others = [row("a", "one two", "one tow"), row("b", "x", "x")], [row("b", "x", ""), row("a", "one two", "")]
    pairs, told = pair_transcripts(rows, others, "wer")
    assert [p.tolist() for p in pairs[:3]] == [[1, 0], [2, 1], [2, 1]]
    assert [one["other_text"] for one in told] == ["", ""]
    pairs, _ = pair_transcripts(rows, others, "cer")
    assert [p.tolist() for p in pairs[:3]] == [[2, 0], [7, 1], [7, 1]]
    groups = dict(group_utterances(told, {"a": '{"age": "twenties", "gender": ""}'}))
    assert groups["age"] == ["twenties", ""]
    assert groups["length"] == ["2 to 4 s", "2 to 4 s"]
    with pytest.raises(ValueError, match="other references"):
        pair_transcripts(rows, [row("a", "one", "")], "wer")


@pytest.mark.parametrize("told", [{"metric": "loss"}, {"tolerance": -0.1}, {"min_utterances": 1}, {"resamples": 10}])
def test_a_rule_that_cannot_be(told):
    with pytest.raises(ValueError, match="promotion"):
        PromotionRule(**told)
