"""Metrics of captions against values worked by hand, the formulas written out again, and all alignments there are."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scoring.captions.caption_metrics import bleu_scores, score_captions, transpose_references
from tasks.scoring.captions.cider import cider_d
from tasks.scoring.captions.meteor import align_words, meteor

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=6)
CORPUS = st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), min_size=1, max_size=5)


def test_bleu_worked_by_hand():
    """7 words, one "the" too many: 6/7; 6 pairs, 4 there; 5 triples, 2 there; 4 quadruples, none."""
    captions = ["the cat the cat on the mat"]
    references = [["the cat is on the mat", "there is a cat on the mat"]]
    one, two, three, four = bleu_scores(captions, references)
    # the 2, cat 1, on 1, mat 1 of 7; the cat, cat on, on the, the mat of 6; cat on the, on the mat of 5; cat on the mat
    assert one == pytest.approx(100 * 5 / 7)
    assert two == pytest.approx(100 * math.sqrt(5 / 7 * 4 / 6))
    assert three == pytest.approx(100 * (5 / 7 * 4 / 6 * 2 / 5) ** (1 / 3))
    assert four == pytest.approx(100 * (5 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4))


def test_short_captions_are_punished_by_the_closest_reference():
    one, *_ = bleu_scores(["a b"], [["a b c", "a b c d e f"]])
    assert one == pytest.approx(100 * math.exp(1 - 3 / 2))


def counted(words, n):
    return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def bleu_by_formula(captions, references, order):
    matches, total = [0] * order, [0] * order
    length = closest = 0
    for caption, of_photo in zip(captions, references, strict=True):
        length += len(caption)
        closest += min((abs(len(one) - len(caption)), len(one)) for one in of_photo)[1]
        for n in range(1, order + 1):
            most = Counter()
            for one in of_photo:
                most |= counted(one, n)
            matches[n - 1] += (counted(caption, n) & most).total()
            total[n - 1] += counted(caption, n).total()
    if not all(matches):
        return 0.0
    precision = math.exp(sum(math.log(m / t) for m, t in zip(matches, total, strict=True)) / order)
    return 100 * precision * min(1.0, math.exp(1 - closest / length))


@given(CORPUS)
def test_bleu_is_the_formula(corpus):
    captions, references = zip(*corpus, strict=True)
    found = bleu_scores([" ".join(c) for c in captions], [[" ".join(one) for one in many] for many in references])
    assert found == pytest.approx(tuple(bleu_by_formula(captions, references, n) for n in (1, 2, 3, 4)))


def cider_by_formula(captions, references):
    """Equations of the paper, over the whole vocabulary of n-grams."""
    scores = np.zeros(len(captions))
    for n in (1, 2, 3, 4):
        grams = sorted(
            {g for many in references for one in many for g in counted(one, n)}
            | {g for c in captions for g in counted(c, n)}
        )
        df = np.array([sum(any(g in counted(one, n) for one in many) for many in references) for g in grams])
        idf = np.log(len(references) / np.maximum(1, df))
        for i, (caption, many) in enumerate(zip(captions, references, strict=True)):
            ours = np.array([counted(caption, n)[g] for g in grams]) * idf
            for one in many:
                theirs = np.array([counted(one, n)[g] for g in grams]) * idf
                norm = np.linalg.norm(ours) * np.linalg.norm(theirs)
                cosine = np.minimum(ours, theirs) @ theirs / norm if norm else 0.0
                scores[i] += 10 / 4 / len(many) * math.exp(-((len(caption) - len(one)) ** 2) / 72) * cosine
    return scores


@given(CORPUS)
def test_cider_d_is_the_formula(corpus):
    captions, references = zip(*corpus, strict=True)
    assert cider_d(captions, references) == pytest.approx(cider_by_formula(captions, references))


def test_cider_d_worked_by_hand():
    """Two photos that share no word: each caption that equals its reference has cosine 1 in every order it has."""
    references = [[["a", "b", "c", "d"]], [["e", "f", "g", "h"]]]
    same = cider_d([["a", "b", "c", "d"], ["e", "f", "g", "h"]], references)
    assert same == pytest.approx([10.0, 10.0])
    longer = cider_d([["a", "b", "c", "d"], ["e", "f", "g", "h", "x"]], references)
    # 4 words against 5, 3 pairs against 4, 2 against 3, 1 against 2; all, and x, weigh log 2
    cosines = [4 / math.sqrt(4 * 5), 3 / math.sqrt(3 * 4), 2 / math.sqrt(2 * 3), 1 / math.sqrt(1 * 2)]
    assert longer[1] == pytest.approx(10 * math.exp(-1 / 72) * sum(cosines) / 4)


def test_meteor_worked_by_hand():
    """Banerjee and Lavie's chunks: "the president spoke to the audience" in two of six."""
    caption, reference = (
        ["the", "president", "spoke", "to", "the", "audience"],
        ["the", "president", "then", "spoke", "to", "the", "audience"],
    )
    assert align_words(caption, reference) == (6, 2)
    mean = 1.0 * (6 / 7) / (0.9 * 1.0 + 0.1 * 6 / 7)
    assert meteor(caption, [reference]) == pytest.approx(mean * (1 - 0.5 * (2 / 6) ** 3))
    assert meteor(["dogs", "running"], [["a", "b"], ["dog", "runs"]]) == pytest.approx(1 - 0.5 * (1 / 2) ** 3)
    assert meteor(["x"], [["y"]]) == meteor([], [["y"]]) == 0.0


@given(WORDS, WORDS)
def test_alignments_are_the_best_of_all(caption, reference):
    most = (counted(caption, 1) & counted(reference, 1)).total()
    fewest = most
    for places in itertools.permutations([*range(len(reference)), *[-9] * len(caption)], len(caption)):
        pairs = [(at, place) for at, place in enumerate(places) if place >= 0]
        if len(pairs) == most and all(caption[at] == reference[place] for at, place in pairs):
            follow = sum((at - 1, place - 1) in pairs for at, place in pairs)
            fewest = min(fewest, most - follow)
    assert align_words(caption, reference) == (most, fewest)


def test_all_scores_of_captions():
    references = [["A man rides a horse.", "Man on a horse"], ["Two dogs, running!"], ["The cat sleeps on the mat ."]]
    same = score_captions(["a man rides a horse", "two dogs running", "the cat sleeps on the mat"], references)
    assert same.bleu == pytest.approx((100, 100, 100, 100))
    assert (same.photos, same.distinct, same.vocabulary) == (3, 1.0, 12)
    assert same.words == pytest.approx(14 / 3)
    assert math.isnan(same.novelty)
    assert "nrefs:var|case:lc" in same.sacrebleu_signature
    assert "nrefs:var" in same.chrf_signature
    assert [(group.words, group.photos) for group in same.by_length] == [(8, 3)]
    told = score_captions(["a dog", "a dog", "a cat"], references, ["A dog!"])
    assert told.novelty == pytest.approx(1 / 3)
    assert told.distinct == pytest.approx(2 / 3)
    assert told.vocabulary == 3
    assert told.cider_d < same.cider_d
    assert told.meteor < same.meteor <= 1
    empty = score_captions(["", "", ""], references)
    assert (empty.bleu, empty.cider_d, empty.meteor) == ((0, 0, 0, 0), 0, 0)
    with pytest.raises(ValueError, match="needs a caption and references"):
        score_captions(["a"], [[]])


def test_photos_are_grouped_by_the_length_of_their_references():
    references = [["w " * 8], ["w " * 9], ["w " * 10, "w " * 12], ["w " * 40], ["w " * 40]]
    scores = score_captions(["w " * 8, "w", "w", "w", "w"], references)
    assert [(group.words, group.photos) for group in scores.by_length] == [(8, 1), (10, 1), (12, 1), (None, 2)]
    assert scores.by_length[0].bleu_4 == pytest.approx(100)


def test_references_may_be_of_different_numbers():
    assert transpose_references([["a", "b"], ["c"]]) == [["a", "c"], ["b", None]]
