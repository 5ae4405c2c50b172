"""The ASG search against every path of a tiny lattice, without and with a language model."""

import itertools
import math

import pytest
import torch

from models.char_rnn import Config
from models.criteria.asg import read_path
from models.interface import Beam, Padded
from models.layers.rnn_stack import Recurrent
from models.search.asg.beam import asg_beam
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

V = 5
EVERYTHING = sum((V - 1) ** n for n in range(5))  # texts of 4 steps at most


def lattice(*lengths):
    torch.manual_seed(1 + sum(lengths))
    rows = [torch.randn(n, V, dtype=torch.float64) for n in lengths]
    return rows, torch.randn(V, V, dtype=torch.float64)


def score(path, x, g):
    return float(sum(x[t, v] for t, v in enumerate(path)) + sum(g[u, v] for u, v in itertools.pairwise(path)))


def every_text(x, g):
    """Log-probabilities of all texts, and of the best path its text."""
    found, best = {}, (-math.inf, ())
    for path in itertools.product(range(V), repeat=len(x)):
        s, (tokens, _) = score(path, x, g), read_path(list(path))
        found[tokens] = found.get(tokens, 0.0) + math.exp(s)
        best = max(best, (s, tokens))
    total = sum(found.values())
    return {text: math.log(p / total) for text, p in found.items()}, (best[0] - math.log(total), best[1])


def small_lm():
    torch.manual_seed(0)
    return Config(embedding_size=4, recurrent=Recurrent(hidden_size=6), readout=()).build(0, V).double().eval()


def log_p(lm, text):
    state, last, total = lm.start(None, 1), BOS, 0.0
    for token in (*text, EOS):
        log_probs, state, _ = lm.step(torch.tensor([last]), state, None)
        total, last = total + float(log_probs[0, token].detach()), token
    return total


@pytest.mark.parametrize("with_lm", [False, True])
def test_a_wide_beam_finds_every_text(with_lm):
    rows, g = lattice(4, 2, 0, 3)
    lm = small_lm() if with_lm else None
    beam = Beam(width=EVERYTHING + 9, insertion_bonus=0.3, lm_weight=0.7 if with_lm else 0.0)
    for x, nbest in zip(rows, asg_beam(Padded.stack(rows, fill=float("nan")), g, beam, lm), strict=True):
        expected = every_text(x, g)[0] if len(x) else {(): 0.0}
        expected = {y: s + 0.3 * len(y) + (0.7 * log_p(lm, y) if lm else 0.0) for y, s in expected.items()}
        assert [h.tokens for h in nbest] == sorted(expected, key=lambda y: -expected[y])
        assert [h.score for h in nbest] == pytest.approx([expected[h.tokens] for h in nbest], rel=1e-9, abs=1e-9)


def test_width_1_is_the_best_path():
    rows, g = lattice(5, 1, 4, 3)
    for x, (best,) in zip(rows, asg_beam(Padded.stack(rows), g, Beam(width=1)), strict=True):
        expected, text = every_text(x, g)[1]
        assert best.tokens == text
        assert best.score == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("width", [2, 3, 8])
def test_narrow_beams(width):
    """A lower bound of each text's probability; distinct, in order, alike alone and in a batch."""
    rows, g = lattice(5, 4, 3)
    together = asg_beam(Padded.stack(rows), g, Beam(width=width))
    for x, nbest in zip(rows, together, strict=True):
        expected, _ = every_text(x, g)
        assert len(nbest) == len({h.tokens for h in nbest}) == width
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)
        assert all(h.score <= expected[h.tokens] + 1e-9 for h in nbest)
        (alone,) = asg_beam(Padded.stack([x]), g, Beam(width=width))
        for one, other in zip(alone, nbest, strict=True):
            assert (one.tokens, one.spans) == (other.tokens, other.spans)
            assert (one.score, one.confidence) == pytest.approx((other.score, other.confidence), nan_ok=True)


def test_a_prefix_that_comes_back_is_the_same_one():
    """Long random emissions under a narrow beam, where prefixes leave and come back: none is there twice."""
    torch.manual_seed(4)
    emissions = Padded(3 * torch.randn(8, 60, V), torch.randint(30, 61, (8,)))
    for nbest in asg_beam(emissions, torch.randn(V, V), Beam(width=6)):
        assert len({h.tokens for h in nbest}) == len(nbest) == 6


def test_spans_and_confidence_are_those_of_the_best_path():
    rows, g = lattice(5, 3)
    for x, nbest in zip(rows, asg_beam(Padded.stack(rows), g, Beam(width=12)), strict=True):
        paths = list(itertools.product(range(V), repeat=len(x)))
        total = sum(math.exp(score(p, x, g)) for p in paths)
        for h in nbest:
            best = max((p for p in paths if read_path(list(p))[0] == h.tokens), key=lambda p: score(p, x, g))
            begins = read_path(list(best))[1]
            assert h.spans == tuple(zip(begins, (*begins[1:], len(x)), strict=False))
            peaks = []
            for begin, end in h.spans:
                visits = [sum(math.exp(score(p, x, g)) for p in paths if p[t] == best[t]) for t in range(begin, end)]
                peaks.append(math.log(max(visits) / total))
            if peaks:
                assert h.confidence == pytest.approx(math.exp(sum(peaks) / len(peaks)), rel=1e-9)


@pytest.mark.parametrize("width", [1, 5])
def test_no_text_is_longer_than_asked(width):
    rows, g = lattice(5, 4)
    for nbest in asg_beam(Padded.stack(rows), g, Beam(width=width, max_length=2)):
        assert all(len(h.tokens) <= 2 and len(h.spans) == len(h.tokens) for h in nbest)


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (Beam(length_norm=1.0), "no length_norm"),
        (Beam(word_bonus=1.0), "no word_bonus"),
        (Beam(skip_blank=0.9), "no skip_blank"),
        (Beam(lm_weight=0.5), "no language model"),
        (Beam(width=1, insertion_bonus=0.5), "best path"),
    ],
)
def test_terms_that_are_not_there_are_refused(beam, message):
    rows, g = lattice(3)
    with pytest.raises(ValueError, match=message):
        asg_beam(Padded.stack(rows), g, beam)


def test_words_and_other_vocabularies_are_refused():
    rows, g = lattice(3)
    with pytest.raises(ValueError, match="knows no words"):
        asg_beam(Padded.stack(rows), g, Beam(), LexiconAndHotwords(("", "", "", "", " a"), ("a",)))
    other = Config(embedding_size=4, recurrent=Recurrent(hidden_size=6), readout=()).build(0, V + 1).double()
    with pytest.raises(ValueError, match="use one tokenizer"):
        asg_beam(Padded.stack(rows), g, Beam(lm_weight=0.5), other)


def test_nothing_to_search():
    _, g = lattice(1)
    assert asg_beam(Padded(torch.zeros(0, 3, V), torch.zeros(0, dtype=torch.long)), g, Beam()) == []
    for width in (1, 4):
        found = asg_beam(Padded(torch.zeros(2, 0, V), torch.tensor([0, 0])), g, Beam(width=width))
        assert [[(h.tokens, h.score) for h in nbest] for nbest in found] == [[((), 0.0)]] * 2
