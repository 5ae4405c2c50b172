"""Scores of translations against sacrebleu's own, of the whole and of every part; what goes wrong, by hand."""

import math
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from tasks.scoring.compare_translations import compare_translations
from tasks.scoring.evaluate_translation import TranslationScoringConfig, length_group, score_translations
from tasks.scoring.paired_bootstrap import paired_score_bootstrap, resample_sums
from tasks.scoring.translation_errors import analyze_translations, bare_words, kept_words, repeated_phrases
from tasks.text.translation_metrics import METRICS, count_sentences, score_sentences

WORDS = "Der Hund läuft über die grüne Wiese , während ein Kind im roten Hemd zusieht .".split()  # noqa: SIM905


def corpus(count=60, seed=0, damage=0.3):
    """Rows whose texts are their references with some words changed."""
    random, rows = np.random.default_rng(seed), []
    for i in range(count):
        said = [str(word) for word in np.random.default_rng(1000 + i).choice(WORDS, 4 + i % 40)]
        text = [random.choice(WORDS) if random.random() < damage else word for word in said]
        texts = [" ".join(text), " ".join(said[::-1]), " ".join(said)]
        row = {"key": f"{i:03}", "source": f"a:{i}", "source_text": " ".join(said).lower(), "reference": " ".join(said)}
        row |= {"text": texts[0], "hypotheses": [{"text": text, "score": -1.0} for text in texts]}
        row |= {"truncated": i == 3, "unknown": int(i == 4)}
        rows.append(row | {"reference_log_prob": -2.0 * (len(said) + 1), "reference_tokens": len(said) + 1})
    return rows


def columns(rows):
    return [row["text"] for row in rows], [[row["reference"] for row in rows]]


@pytest.fixture(scope="module")
def scored():
    rows = corpus()
    return rows, score_translations(rows, TranslationScoringConfig(resamples=200))


def test_scores_are_sacrebleus(scored):
    rows, told = scored
    texts, references = columns(rows)
    assert told["bleu"] == pytest.approx(sacrebleu.corpus_bleu(texts, references).score, abs=1e-9)
    lowered = sacrebleu.corpus_bleu(texts, references, lowercase=True).score
    assert told["bleu_lowercased"] == pytest.approx(lowered, abs=1e-9)
    assert told["chrf"] == pytest.approx(sacrebleu.corpus_chrf(texts, references).score, abs=1e-9)
    assert told["ter"] == pytest.approx(sacrebleu.corpus_ter(texts, references).score, abs=1e-9)
    metric = BLEU()
    metric.corpus_score(texts, references)
    assert told["signatures"]["bleu"] == metric.get_signature().format()
    assert "case:lc" in told["signatures"]["bleu_lowercased"]
    for name in METRICS:
        low, high = told[f"{name}_interval"]
        assert low < told[name] < high


def test_the_interval_is_sacrebleus(scored):
    """Of other draws: the mean of sacrebleu's resamples, and how far 95 % of them are from it."""
    rows, told = scored
    found = BLEU().corpus_score(*columns(rows), n_bootstrap=1000)
    low, high = told["bleu_interval"]
    assert (low + high) / 2 == pytest.approx(found._mean, abs=0.6)
    assert (high - low) / 2 == pytest.approx(found._ci, rel=0.25)


def test_each_group_of_lengths_is_scored_alone(scored):
    rows, told = scored
    assert sum(group["sentences"] for group in told["by_length"]) == len(rows)
    assert [group["group"] for group in told["by_length"]] == ["0 to 9", "10 to 19", "20 to 29", "30 to 39", "40 to 59"]
    for group in told["by_length"]:
        begin, end = map(int, group["group"].split(" to "))
        mine = columns([row for row in rows if begin <= len(row["source_text"].split()) <= end])
        assert group["bleu"] == pytest.approx(sacrebleu.corpus_bleu(*mine).score, abs=1e-9)
        assert group["ter"] == pytest.approx(sacrebleu.corpus_ter(*mine).score, abs=1e-9)
    assert length_group(5) == "60 and more"


def test_the_other_numbers(scored):
    rows, told = scored
    assert (told["sentences"], told["truncated"], told["unknown_tokens"]) == (60, 1, 1)
    assert told["exact"] == sum(row["text"] == row["reference"] for row in rows) / 60
    assert told["loss"] == pytest.approx(2.0)
    assert told["perplexity"] == pytest.approx(math.e**2)
    assert told["length_ratio"] == pytest.approx(1.0, abs=0.02)
    assert told["oracle_chrf"] == pytest.approx(100)
    chrf = [sacrebleu.sentence_chrf(row["text"], [row["reference"]]).score for row in rows]
    assert [row["chrf"] for row in told["worst"]] == pytest.approx(sorted(chrf)[:20], abs=1e-9)
    assert score_sentences(*(x if i == 0 else x[0] for i, x in enumerate(columns(rows)))) == pytest.approx(chrf)


def test_what_could_not_be_scored_is_counted_and_never_breaks_the_page():
    rows = corpus(3)
    for row in rows:
        row |= {"reference_log_prob": None, "text": "", "hypotheses": [{"text": "", "score": -math.inf}]}
    told = score_translations(rows, TranslationScoringConfig(resamples=10))
    assert (told["loss"], told["perplexity"], told["references_unscored"]) == (None, None, 3)
    assert (told["bleu"], told["errors"]["empty"], told["length_ratio"]) == (0.0, 3, 0.0)
    with pytest.raises(ValueError, match="resamples"):
        TranslationScoringConfig(resamples=0)


@pytest.mark.parametrize(
    ("source", "text", "reference", "kept", "wrong"),
    [
        ("A man in Paris", "Ein Mann in Paris", "Ein Mann in Paris", {"Paris": 1}, {}),
        (
            "A skateboarder jumps.",
            "Ein skateboarder jumps.",
            "Ein Skater springt.",
            {},
            {"skateboarder": 1, "jumps": 1},
        ),
        ("dog dog", "dog dog", "dog Hund", {"dog": 1}, {"dog": 1}),
        ("it is 1990 in a", "in a is 1990", "es ist", {}, {}),
        ("", "", "", {}, {}),
    ],
)
def test_words_that_were_kept(source, text, reference, kept, wrong):
    assert kept_words(source, text, reference) == (Counter(kept), Counter(wrong))


def test_phrases_said_again():
    assert repeated_phrases("a b c a b c a b c", "a b c") == {"a b c": 2, "b c a": 1, "c a b": 1}
    assert repeated_phrases("a b c, a b c", "a b c und a b c") == {}
    assert repeated_phrases("a b c d", "x") == {}
    assert bare_words("„Hallo“, sagte er – laut!") == ["Hallo", "sagte", "er", "laut"]


def test_errors_are_counted_by_sentences_and_words():
    rows = [
        {"source_text": "the tall dog runs", "text": "der tall Hund runs runs", "reference": "der große Hund rennt"},
        {"source_text": "the dog", "text": "the dog", "reference": "der Hund"},
        {"source_text": "Berlin Berlin", "text": "Berlin", "reference": "Berlin Berlin"},
        {"source_text": "dog", "text": "", "reference": "Hund"},
        {"source_text": "", "text": "", "reference": ""},
    ]
    told = analyze_translations(rows)
    expected = [("dog", 1), ("runs", 1), ("tall", 1), ("the", 1)]
    assert told["untranslated"] == {"sentences": 2, "words": 4, "common": expected}
    assert told["copied"] == {"sentences": 1, "words": 1, "common": [("Berlin", 1)]}
    assert (told["empty"], told["identical"], told["repeated"]["sentences"]) == (1, 1, 0)


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_the_paired_bootstrap_is_sacrebleus(metric):
    """The same scores, and a p-value that two sets of draws agree on."""
    names = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}
    worse, better = corpus(40, seed=1, damage=0.34), corpus(40, seed=2, damage=0.27)
    (theirs, references), (ours, _) = columns(worse), columns(better)
    own = METRICS[metric]()
    _, told = PairedTest([("a", theirs), ("b", ours)], {names[metric]: own}, references, "bs", 2000)()
    (_, other), (_, mine) = ((r[0], r[1]) if isinstance(r, tuple) else (0, r) for r in told[names[metric]])
    sums = [count_sentences(metric, texts, references[0]) for texts in (ours, theirs)]
    found = paired_score_bootstrap(*(x.counts for x in sums), sums[0].score, descending=metric != "ter", resamples=2000)
    assert (found.score, found.other_score) == (pytest.approx(mine.score), pytest.approx(other.score))
    assert found.p_value == pytest.approx(mine.p_value, abs=0.03)


def test_the_comparison_says_which_is_better_and_where():
    worse, better = corpus(24, damage=0.6), corpus(24, damage=0.1)
    told = compare_translations(better, worse, TranslationScoringConfig(resamples=100))
    assert {one["verdict"] for one in told["metrics"].values()} == {"better"}
    assert told["metrics"]["ter"]["difference"] < 0 < told["metrics"]["bleu"]["difference"]
    assert len(told["better"]) + len(told["worse"]) + told["same"] == told["sentences"] == 24
    gains = [row["chrf"] - row["other_chrf"] for row in told["better"]]
    assert gains == sorted(gains, reverse=True)
    back = compare_translations(worse, better, TranslationScoringConfig(resamples=100))
    assert {one["verdict"] for one in back["metrics"].values()} == {"worse"}
    same = compare_translations(worse, worse, TranslationScoringConfig(resamples=100))
    assert {(one["verdict"], one["improvement"]) for one in same["metrics"].values()} == {("no clear difference", 0.5)}
    assert {one["p_value"] for one in same["metrics"].values()} == {1.0}
    assert compare_translations(better, worse[1:], TranslationScoringConfig()) is None
    assert compare_translations([], [], TranslationScoringConfig()) is None


def test_resamples_are_sums_of_as_many_rows():
    rows = np.eye(7)
    drawn = np.array(list(resample_sums(rows, 300, 0)))
    assert (drawn.sum(1) == 7).all()
    assert drawn.mean(0) == pytest.approx(np.ones(7), abs=0.2)
    with pytest.raises(ValueError, match="no sentence"):
        paired_score_bootstrap(np.zeros((0, 2)), np.zeros((0, 2)), float, descending=True)
