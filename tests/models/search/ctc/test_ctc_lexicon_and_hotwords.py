"""The CTC search with everything that is fused into it, against sums over all alignments of all texts."""

import itertools
import math

import numpy as np
import pytest
import torch
from ctc_reference import Bigrams, collapse, same
from ngram_tables import Tables
from word_terms import LETTERS, LEXICON, PIECES, TERMS, Fused, emissions_of, given

from models.interface import Beam, Padded
from models.search.ctc.beam import ctc_beam
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.special_tokens import BOS, EOS, UNK

torch.set_num_threads(1)


def summed(log_probs):
    """log p(y) of every y that (T, V) can say."""
    paths = np.array(list(itertools.product(range(log_probs.shape[1]), repeat=len(log_probs))), int)
    scores = log_probs.numpy()[np.arange(len(log_probs)), paths].sum(1)
    sums: dict[tuple[int, ...], list[float]] = {}
    for path, score in zip(paths.tolist(), scores.tolist(), strict=True):
        if score > -math.inf:
            sums.setdefault(collapse(path), []).append(score)
    return {y: float(torch.logsumexp(torch.tensor(s, dtype=torch.float64), 0)) for y, s in sums.items()}


@pytest.mark.parametrize("texts", [LETTERS, PIECES], ids=["letters", "pieces"])
@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "-".join(terms))
def test_a_wide_beam_is_brute_force(terms, texts):
    words, tables = given(terms, texts)
    beam, lengths = Beam(width=9000, **terms), (5, 2)
    emissions = emissions_of(texts, 1, lengths)
    fused = Fused(beam, words, tables)
    for i, nbest in enumerate(ctc_beam(emissions, beam, words)):
        truth = {y: mass + fused.whole(y) for y, mass in summed(emissions.data[i, : lengths[i]]).items()}
        truth = {y: score for y, score in truth.items() if score > -math.inf}
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-6)
        assert nbest[0].score == pytest.approx(max(truth.values()))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_order_of_a_word_model(order):
    words, tables = given({"lm_weight": 1.0}, LETTERS, order)
    beam = Beam(width=9000, lm_weight=0.8)
    emissions = emissions_of(LETTERS, order, (6,), never=(BOS, EOS, UNK))
    (nbest,) = ctc_beam(emissions, beam, words)
    fused = Fused(beam, words, tables)
    truth = {y: mass + fused.whole(y) for y, mass in summed(emissions.data[0]).items()}
    assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-6)
    assert max(len(fused.split(y)[0]) for y in truth) == 3  # so that contexts count


def textbook(log_probs, width, fused):
    """The search by its definition, prefixes in a dictionary, ranked with all that is fused by then."""
    live = {(): (0.0, -math.inf)}
    for frame in log_probs.tolist():
        grown: dict[tuple[int, ...], list[list[float]]] = {}
        for y, (blank, label) in live.items():
            grown.setdefault(y, [[], []])[0] += [blank + frame[0], label + frame[0]]
            if y:
                grown[y][1].append(label + frame[y[-1]])
            for c in range(1, len(frame)):
                parts = [blank] if y and y[-1] == c else [blank, label]
                grown.setdefault((*y, c), [[], []])[1].extend(m + frame[c] for m in parts)
        masses = {y: tuple(float(np.logaddexp.reduce([-math.inf, *m])) for m in p) for y, p in grown.items()}
        scores = {y: float(np.logaddexp(*m)) + fused.ahead(y) for y, m in masses.items()}
        ranked = sorted((y for y in masses if scores[y] > -math.inf), key=lambda y: -scores[y])
        ended = [y for y in ranked if y in live and fused.whole(y) > -math.inf]
        if fused.beam.lexicon_only and not set(ended) & set(
            ranked[:width]
        ):  # of those that were live one that may end is held
            ranked[width - 1 : width] = ended[:1]
        live = {y: masses[y] for y in ranked[:width]}
    return {y: float(np.logaddexp(*m)) + fused.whole(y) for y, m in live.items() if fused.whole(y) > -math.inf}


@pytest.mark.parametrize("texts", [LETTERS, PIECES], ids=["letters", "pieces"])
@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "-".join(terms))
@pytest.mark.parametrize("width", [2, 7, 20])
def test_a_narrow_beam_is_the_textbook_s(terms, texts, width):
    words, tables = given(terms, texts, order=3)
    beam = Beam(width=width, **terms)
    emissions = emissions_of(texts, width, (14, 9))
    fused = Fused(beam, words, tables)
    for i, nbest in enumerate(ctc_beam(emissions, beam, words)):
        truth = textbook(emissions.data[i, : emissions.lengths[i]], width, fused)
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("width", [2, 3, 10])
def test_only_words_of_the_lexicon_and_always_some(seed, width):
    words, _ = given({}, LETTERS)
    emissions = emissions_of(LETTERS, seed, (12, 3, 1), never=())
    for nbest in ctc_beam(emissions, Beam(width=width, lexicon_only=True), words):
        assert nbest
        for h in nbest:
            assert set("".join(LETTERS[c] or "?" for c in h.tokens).split()) <= set(LEXICON)


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: "-".join(terms))
def test_a_batch_equals_its_rows_and_threads_change_nothing(terms):
    words, _ = given(terms, LETTERS)
    beam, lengths = Beam(width=6, **terms), (20, 7, 0, 13, 1)
    emissions = emissions_of(LETTERS, 3, lengths)
    together = ctc_beam(emissions, beam, words)
    rows = [Padded(emissions.data[i : i + 1, :n], emissions.lengths[i : i + 1]) for i, n in enumerate(lengths)]
    same(together, [ctc_beam(row, beam, words)[0] for row in rows])
    torch.set_num_threads(3)
    try:
        again = ctc_beam(emissions, beam, words)
    finally:
        torch.set_num_threads(1)
    same(together, again)
    assert [[h.score for h in nbest] for nbest in again] == [[h.score for h in nbest] for nbest in together]


class Neural:
    """A model of tokens that is not one of tables."""

    def __init__(self, model):
        self.encode, self.start, self.step = model.encode, model.start, model.step


@pytest.mark.parametrize("width", [2, 5, 30])
@pytest.mark.parametrize("terms", [{}, {"hotword_weight": 1.5}, {"lexicon_only": True, "word_bonus": 0.5}])
def test_a_neural_model_is_fused_like_a_table(width, terms):
    """With words and without; a model of tokens has no part in the words' look-ahead."""
    tables = Tables(3, seed=5, size=len(LETTERS))
    beam = Beam(width=width, lm_weight=0.6, insertion_bonus=0.3, **terms)
    emissions = emissions_of(LETTERS, 4, (15, 0, 8), never=())
    hotwords = ("bab",) if "hotword_weight" in terms else ()
    found = []
    for model in (tables.trie(), Neural(tables.trie())):
        words = LexiconAndHotwords(LETTERS, LEXICON, hotwords, tokens=model) if terms else model
        found.append(ctc_beam(emissions, beam, words))
    same(*found)


@pytest.mark.parametrize("neural", [False, True])
def test_a_model_of_tokens_and_words_is_brute_force(neural):
    words, _ = given({"hotword_weight": 1.0}, LETTERS)
    tables = Tables(3, seed=2, size=len(LETTERS))
    words = LexiconAndHotwords(
        LETTERS, LEXICON, words.hotwords, tokens=Neural(tables.trie()) if neural else tables.trie()
    )
    beam = Beam(width=4000, lm_weight=0.4, word_bonus=0.7, hotword_weight=1.3, insertion_bonus=0.2)
    emissions = emissions_of(LETTERS, 8, (5,))
    (nbest,) = ctc_beam(emissions, beam, words)
    fused = Fused(beam, words)
    truth = {y: m + fused.whole(y) + 0.4 * tables.log_prob(y) for y, m in summed(emissions.data[0]).items()}
    assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("width", [1, 4, 40])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_a_skipped_step_says_blank(width, threshold):
    emissions = emissions_of(LETTERS, 6, (30, 12))
    emissions.data[..., 0] += 2
    emissions = Padded(emissions.data.log_softmax(-1), emissions.lengths)
    silent = emissions.data[..., 0] > math.log(threshold)
    assert 0.2 < silent.double().mean() < 0.9
    alone = torch.full_like(emissions.data, -math.inf)
    alone[..., 0] = emissions.data[..., 0]
    told = Padded(torch.where(silent[..., None], alone, emissions.data), emissions.lengths)
    skipped = ctc_beam(emissions, Beam(width=width, skip_blank=threshold))
    truth = ctc_beam(told, Beam(width=width))
    assert [[h.tokens for h in nbest] for nbest in skipped] == [[h.tokens for h in nbest] for nbest in truth]
    for one, other in zip(itertools.chain(*skipped), itertools.chain(*truth), strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-9)


@pytest.mark.parametrize("terms", [{}, *TERMS], ids=lambda terms: "-".join(terms))
def test_hypotheses_are_sorted_and_distinct_and_their_times_rise(terms):
    words, _ = given(terms, LETTERS)
    lengths = (40, 25)
    for length, nbest in zip(
        lengths, ctc_beam(emissions_of(LETTERS, 7, lengths), Beam(width=30, **terms), words), strict=True
    ):
        assert len({h.tokens for h in nbest}) == len(nbest) > 1
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)
        for h in nbest:
            assert len(h.spans) == len(h.tokens)
            edges = [edge for span in h.spans for edge in span]
            assert edges == sorted(edges)
            assert all(first < last for first, last in h.spans)
            assert not edges or (edges[0] >= 0 and edges[-1] <= length)
            assert 0 < h.confidence <= 1 or not h.tokens


def words_of(**parts):
    return LexiconAndHotwords(LETTERS, LEXICON, **parts)


@pytest.mark.parametrize(
    ("terms", "parts", "message"),
    [
        ({"word_bonus": 1.0}, None, "word_bonus .* give it a lexicon"),
        ({"unknown_bonus": 1.0}, None, "unknown_bonus"),
        ({"lexicon_only": True}, None, "lexicon_only"),
        ({"hotword_weight": 1.0}, None, "hotword_weight"),
        ({"hotword_weight": 1.0}, {}, "no hotwords"),
        ({"lm_weight": 1.0}, {}, "no language model"),
        ({"lm_weight": -1.0}, {"tokens": Bigrams(7)}, "take a language model away"),
        ({"lexicon_only": True, "unknown_bonus": 1.0}, {}, "allows none"),
        ({"lm_weight": 0.5, "width": 1}, {"tokens": Bigrams(7)}, "width 1 is the best path, without lm_weight"),
        ({"word_bonus": 0.5, "width": 1}, {}, "without word_bonus"),
        ({"lm_weight": 0.5}, {"tokens": Bigrams(9)}, "knows 9 tokens, the emissions 7"),
        ({"lm_weight": 0.5}, {"tokens": Tables(2, size=6).trie()}, "knows 6 tokens, the emissions 7"),
    ],
)
def test_terms_that_have_nothing_to_work_on_are_refused(terms, parts, message):
    lm = None if parts is None else words_of(**parts)
    with pytest.raises(ValueError, match=message):
        ctc_beam(emissions_of(LETTERS, 0, (3,)), Beam(**terms), lm)
