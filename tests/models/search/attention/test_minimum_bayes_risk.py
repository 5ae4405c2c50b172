"""The order of least risk against its definition, with sacrebleu's BLEU of a sentence."""

import math
import random

import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from test_attention_beam import LETTERS, Toy

from models.interface import Beam, Hypothesis, Padded
from models.search.attention.beam import attention_beam
from models.search.attention.minimum_bayes_risk import sentence_bleu, sort_by_gain
from models.search.ctc.beam import ctc_beam

torch.set_num_threads(1)
draw = random.Random(0)
TEXTS = [tuple(draw.choices(LETTERS, k=draw.randrange(1, 9))) for _ in range(60)]


def peer(said, reference):
    metric = BLEU(smooth_method="add-k", smooth_value=1, tokenize="none")
    return metric.sentence_score(" ".join(map(str, said)), [" ".join(map(str, reference))]).score / 100


def test_bleu_of_a_sentence_is_sacrebleu_s():
    pairs = [(a, b) for a in TEXTS for b in TEXTS]
    assert [sentence_bleu(a, b) for a, b in pairs] == pytest.approx([peer(a, b) for a, b in pairs])
    assert {sentence_bleu(a, a) for a in TEXTS} == {1.0}
    assert (sentence_bleu((), ()), sentence_bleu((), (4,)), sentence_bleu((4,), ())) == (1, 0, 0)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_the_order_is_that_of_the_expected_bleu(scale):
    for begin in range(0, 60, 12):
        texts = sorted(set(TEXTS[begin : begin + 12]))
        nbest = [Hypothesis(text, -draw.uniform(0, 3)) for text in texts]
        chance = [math.exp(scale * h.score) for h in nbest]
        gains = {h: sum(p * peer(h.tokens, of.tokens) for p, of in zip(chance, nbest, strict=True)) for h in nbest}
        found = sort_by_gain(nbest, scale)
        assert sorted(found) == sorted(nbest)
        assert [gains[h] for h in found] == pytest.approx(sorted(gains.values(), reverse=True))


def test_a_large_scale_takes_the_most_probable_and_a_small_one_what_most_agree_with():
    nbest = [Hypothesis((6, 6, 6), -1.0), *(Hypothesis((4, 5, 4, last), -2.0) for last in LETTERS)]
    assert sort_by_gain(nbest, 50.0)[0] == nbest[0]
    assert sort_by_gain(nbest, 0.01)[0].tokens[:3] == (4, 5, 4)


@pytest.mark.parametrize("terms", [{}, {"groups": 2, "diversity": 0.5}, {"length_norm": 0.7, "coverage": 0.2}])
def test_the_search_finds_the_same_texts_in_this_order(terms):
    model, source = Toy(1), Padded(torch.randn(3, 5, 3, dtype=torch.float64), torch.tensor([5, 2, 4]))
    plain = attention_beam(model, source, Beam(width=6, **terms))
    found = attention_beam(model, source, Beam(width=6, mbr_scale=0.5, **terms))
    assert found == [sort_by_gain(nbest, 0.5) for nbest in plain]
    assert found != plain


def test_one_text_or_none_is_what_it_is():
    only = [Hypothesis((4,), -3.0)]
    assert sort_by_gain(only, 1.0) == only
    assert sort_by_gain([Hypothesis((), -math.inf)], 1.0) == [Hypothesis((), -math.inf)]


def test_what_has_no_such_order_refuses_it():
    with pytest.raises(ValueError, match=r"beam\.mbr_scale is 0 or more, not -1"):
        Beam(mbr_scale=-1)
    with pytest.raises(ValueError, match="no mbr_scale"):
        ctc_beam(Padded(torch.zeros(1, 2, 7), torch.tensor([2])), Beam(mbr_scale=1.0))
