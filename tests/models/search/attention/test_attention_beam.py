"""The batched beam against the list of all hypotheses, scored by definition; CTC prefixes against the CTC loss."""

import itertools
import math
from typing import NamedTuple

import pytest
import torch

from models.criteria.ctc import ctc
from models.interface import Beam, Decoder, Hypothesis, Padded, Step
from models.search.attention import beam as module
from models.search.attention.beam import attention_beam
from models.search.attention.ensemble_decoder import EnsembleDecoder
from models.search.attention.prefix_constraint import prefix_constrained_beam
from models.search.ctc.beam import ctc_beam
from models.search.ctc.prefix_score import CTCPrefixScorer
from models.special_tokens import BLANK, BOS, EOS, UNK

torch.set_num_threads(1)

VOCABULARY, SIZE = 7, 3
LETTERS = [4, 5, 6]
LENGTHS = (5, 2, 4)


class Read(NamedTuple):
    h: torch.Tensor


class Toy:
    """A decoder of random weights: what it says depends on all that it has read and, if it attends, on its memory."""

    def __init__(self, seed, attends=True):
        draw = torch.Generator().manual_seed(seed)
        sizes = {"recur": (SIZE, SIZE), "embed": (VOCABULARY, SIZE), "write": (SIZE, VOCABULARY)}
        self.weights = {k: 1.5 * torch.randn(s, generator=draw, dtype=torch.float64) for k, s in sizes.items()}
        self.attends = attends

    def encode(self, source):
        return source if self.attends else None

    def start(self, memory, batch_size):
        assert (memory is not None) == self.attends
        return Read(torch.zeros(batch_size, SIZE, dtype=torch.float64))

    def step(self, tokens, state, memory):
        h = torch.tanh(state.h @ self.weights["recur"] + self.weights["embed"][tokens])
        if memory is None:
            return Step((h @ self.weights["write"]).log_softmax(-1), Read(h))
        each = len(tokens) // len(memory.lengths)
        data, mask = (x.repeat_interleave(each, 0) for x in (memory.data, memory.mask()))
        energies = torch.einsum("nd,ntd->nt", h, data.nan_to_num(0)).masked_fill(~mask, -torch.inf)
        attention = energies.softmax(-1)
        context = torch.einsum("nt,ntd->nd", attention, data.nan_to_num(0))
        return Step(((h + context) @ self.weights["write"]).log_softmax(-1), Read(h), attention)


torch.manual_seed(0)
CTC = CTCPrefixScorer()
MODEL, LM = Toy(1), Toy(3, attends=False)
MEMORY = Padded.stack([torch.randn(n, SIZE, dtype=torch.float64) for n in LENGTHS], fill=float("nan"))
EMISSIONS = Padded.stack([torch.randn(n + 1, VOCABULARY, dtype=torch.float64).log_softmax(-1) for n in LENGTHS])


def row(x, b):
    return Padded(x.data[b : b + 1, : x.lengths[b]], x.lengths[b : b + 1])


def read(decoder, written, memory):
    """log p of each token, and the attention of each step, a step at a time."""
    state, told, paid = decoder.start(memory, 1), [], []
    for before, token in zip([BOS, *written], written, strict=False):
        log_probs, state, attention = decoder.step(torch.tensor([before]), state, memory)
        told.append(float(log_probs[0, token]))
        paid.append(attention)
    return told, paid


def scored(y, written, beam, memory, emissions):
    """The score of `Beam`, from its definition; and the confidence."""
    told, paid = read(MODEL, written, memory)
    score = sum(told) / ((5 + len(y)) / 6) ** beam.length_norm + beam.insertion_bonus * len(y)
    if beam.coverage:
        score += beam.coverage * float(torch.cat(paid).sum(0).clamp(max=1).log().sum())
    score += beam.lm_weight * sum(read(LM, written, None)[0])
    if beam.ctc_weight:
        score += beam.ctc_weight * sum(read(CTC, written, CTC.encode(emissions))[0])
    return score, math.exp(sum(told) / len(written)), [int(a.argmax()) for a in paid[: len(y)] if a is not None]


def enumerated(b, beam):
    memory, emissions = row(MEMORY, b), row(EMISSIONS, b)
    for length in range(beam.max_length + 1):
        for y in itertools.product(LETTERS, repeat=length):
            written = y if length == beam.max_length else (*y, EOS)
            score, confidence, peaks = scored(y, written, beam, memory, emissions)
            if score > -math.inf:
                yield score, y, confidence, peaks


TERMS = [
    {},
    {"length_norm": 0.8},
    {"length_norm": -0.5},
    {"insertion_bonus": 0.7},
    {"insertion_bonus": -0.7},
    {"coverage": 0.3},
    {"lm_weight": 0.6},
    {"ctc_weight": 0.4},
    {"length_norm": 1.1, "coverage": 0.2, "lm_weight": 0.3, "ctc_weight": 0.5, "insertion_bonus": 0.4},
]
terms = pytest.mark.parametrize("terms", TERMS, ids=lambda t: "-".join(t) or "plain")


def search(memory, beam, emissions=EMISSIONS, **options):
    return attention_beam(MODEL, memory, beam, LM, emissions, **options)


@terms
def test_a_wide_beam_is_the_enumeration(terms):
    beam = Beam(width=200, max_length=3, **terms)
    for b, nbest in enumerate(search(MEMORY, beam)):
        truth = sorted(enumerated(b, beam), reverse=True)
        assert len(nbest) == len(truth)
        assert "ctc_weight" in terms or len(truth) == 1 + 3 + 9 + 27
        for hypothesis, (score, y, confidence, peaks) in zip(nbest, truth, strict=True):
            assert hypothesis.tokens == y
            assert hypothesis.score == pytest.approx(score, abs=1e-9)
            assert hypothesis.confidence == pytest.approx(confidence, abs=1e-9)
            latest = list(itertools.accumulate(peaks, max))
            assert hypothesis.spans == tuple((t, t + 1) for t in latest)


@terms
@pytest.mark.parametrize("width", [1, 2, 4])
def test_stopping_early_loses_nothing(terms, width, monkeypatch):
    """Nor does it change what the other sources of the batch find."""
    beam = Beam(width=width, max_length=7, **terms)
    found = search(MEMORY, beam)
    real = module._open
    asked = []

    def until_the_end(live, rows, search):
        asked.append(real(live, rows, search))
        return [bool((scores > -torch.inf).any()) for scores in live.scores]

    monkeypatch.setattr(module, "_open", until_the_end)
    assert search(MEMORY, beam) == found
    if width == 4 and "insertion_bonus" not in terms:
        assert not all(all(open_) for open_ in asked[:-1]), "nothing stopped early, so nothing was tested"


@terms
def test_width_one_is_greedy(terms):
    """The most probable token of all that is scored but length norm and coverage, each time."""
    beam = Beam(width=1, max_length=6, **terms)
    for b, nbest in enumerate(search(MEMORY, beam)):
        written, memory, emissions = (), row(MEMORY, b), row(EMISSIONS, b)
        plain = Beam(lm_weight=beam.lm_weight, ctc_weight=beam.ctc_weight, insertion_bonus=beam.insertion_bonus)

        def rank(token, written=written, memory=memory, emissions=emissions, plain=plain):
            grown = (*written, token)
            return scored(tuple(t for t in grown if t != EOS), grown, plain, memory, emissions)[0]

        while len(written) < 6 and EOS not in written:
            written = (*written, max((EOS, *LETTERS), key=lambda token, w=written: rank(token, w)))
        y = tuple(t for t in written if t != EOS)
        assert [h.tokens for h in nbest] == [y]
        assert nbest[0].score == pytest.approx(scored(y, written, beam, memory, emissions)[0], abs=1e-9)


@terms
@pytest.mark.parametrize("width", [1, 3])
def test_a_batch_is_its_sources_alone(terms, width):
    beam, limits = Beam(width=width, max_length=8, **terms), torch.tensor([5, 8, 2])
    together = search(MEMORY, beam, limits=limits)
    for b, nbest in enumerate(together):
        (alone,) = search(row(MEMORY, b), beam, row(EMISSIONS, b), limits=limits[b : b + 1])
        assert [(h.tokens, h.spans) for h in nbest] == [(h.tokens, h.spans) for h in alone]
        assert [h.score for h in nbest] == pytest.approx([h.score for h in alone], abs=1e-9)
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)
        assert len({h.tokens for h in nbest}) == len(nbest) <= width
        assert all(len(h.tokens) <= limits[b] for h in nbest)
        assert all(a <= b for h in nbest for (a, _), (b, _) in itertools.pairwise(h.spans))


def test_ctc_prefixes_are_the_ctc_loss():
    """A text's probability is the loss's; those of all texts of a short source add up to one."""
    assert isinstance(CTC, Decoder)
    for b in range(len(LENGTHS)):
        emissions, total = row(EMISSIONS, b), 0.0
        allowed = [v for v in range(VOCABULARY) if v not in (BLANK, BOS, EOS, UNK)]
        data = emissions.data.clone()
        data[..., [BOS, EOS, UNK]] = -torch.inf  # so that texts of the other tokens are all there are
        emissions = Padded(data.log_softmax(-1), emissions.lengths)
        for length in range(min(5, int(emissions.lengths[0]) + 1)):
            for y in itertools.product(allowed, repeat=length):
                log_prob = sum(read(CTC, (*y, EOS), CTC.encode(emissions))[0])
                target = Padded(torch.tensor([y], dtype=torch.long), torch.tensor([length]))
                loss = -float(ctc(emissions, target).total)
                assert log_prob == pytest.approx(loss, abs=1e-9) or (log_prob == -math.inf and loss == 0)
                total += math.exp(log_prob)
        if int(emissions.lengths[0]) < 5:
            assert total == pytest.approx(1, abs=1e-9)


def test_ctc_prefixes_of_several_rows_are_each_one_s():
    """Two hypotheses a source, and what is next adds up to one wherever some path reads the prefix."""
    data = EMISSIONS.data.clone()
    data[..., [BOS, EOS, UNK]] = -torch.inf
    emissions = Padded(data.log_softmax(-1), EMISSIONS.lengths)
    texts, state = torch.tensor([[BOS, a, b] for a, b in ((4, 4), (5, 6), (6, 6), (4, 5), (5, 5), (6, 4))]), None
    memory = CTC.encode(emissions)
    state = CTC.start(memory, 6)
    for u in range(3):
        log_probs, state, _ = CTC.step(texts[:, u], state, memory)
        real = state.mass > -torch.inf
        torch.testing.assert_close(log_probs[real].exp().sum(1), torch.ones(int(real.sum())).double())
        assert not log_probs.isnan().any()
    for n, text in enumerate(texts[:, 1:].tolist()):
        alone = CTC.encode(row(emissions, n // 2))
        for token in (EOS, *LETTERS):
            told = read(CTC, (*text, token), alone)[0][-1]
            assert float(log_probs[n, token]) == pytest.approx(told, abs=1e-9)


def test_what_cannot_be_searched_is_refused():
    for options, message in (
        ({"word_bonus": 0.1}, "no word_bonus"),
        ({"lexicon_only": True}, "no lexicon_only"),
        ({"skip_blank": 0.9}, "no skip_blank"),
        ({"coverage": -0.1}, "cannot be negative"),
        ({"lm_weight": -0.1}, "cannot be negative"),
        ({"ctc_weight": -0.1}, "cannot be negative"),
    ):
        with pytest.raises(ValueError, match=message):
            search(MEMORY, Beam(**options))
    with pytest.raises(ValueError, match="no language model"):
        attention_beam(MODEL, MEMORY, Beam(lm_weight=0.1))
    with pytest.raises(ValueError, match="no CTC head"):
        attention_beam(MODEL, MEMORY, Beam(ctc_weight=0.1))
    wide = Padded(torch.randn(3, 4, 9).log_softmax(-1), torch.tensor([4, 4, 4]))
    with pytest.raises(ValueError, match="one tokenizer"):
        attention_beam(MODEL, MEMORY, Beam(ctc_weight=0.1), None, wide)
    with pytest.raises(ValueError, match="no ctc_weight"):
        ctc_beam(EMISSIONS, Beam(ctc_weight=0.1))

    class Broken(Toy):
        def step(self, tokens, state, memory):
            step = super().step(tokens, state, memory)
            return step._replace(log_probs=step.log_probs * torch.nan)

    with pytest.raises(ValueError, match="NaN"):
        attention_beam(Broken(1), MEMORY, Beam())


@pytest.mark.parametrize("limit", [4, 7])
def test_diverse_groups(limit):
    """Groups of one without a limit to what they differ by write texts that share no token in the same place; one
    group's part of the n-best is a search of its own; each source is searched as if alone.
    """
    apart = Beam(width=3, groups=3, diversity=1e6, max_length=limit)
    for nbest in attention_beam(MODEL, MEMORY, apart):
        for one, other in itertools.combinations([h.tokens for h in nbest], 2):
            assert not any(a == b for a, b in zip(one, other, strict=False))
    first = attention_beam(MODEL, MEMORY, Beam(width=2, max_length=limit))
    found = attention_beam(MODEL, MEMORY, Beam(width=4, groups=2, diversity=0.5, max_length=limit))
    for nbest, alone in zip(found, first, strict=True):
        assert {h.tokens for h in alone} <= {h.tokens for h in nbest}
        assert len({h.tokens for h in nbest}) == len(nbest) <= 4
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)
    beam = Beam(width=6, groups=3, diversity=0.5, max_length=limit)
    for b, nbest in enumerate(attention_beam(MODEL, MEMORY, beam)):
        (alone,) = attention_beam(MODEL, row(MEMORY, b), beam)
        assert [h.tokens for h in nbest] == [h.tokens for h in alone]
        for h in nbest:
            written = h.tokens if len(h.tokens) == limit else (*h.tokens, EOS)
            assert h.score == pytest.approx(sum(read(MODEL, written, row(MEMORY, b))[0]), abs=1e-9)


@pytest.mark.parametrize("options", [{"groups": 2}, {"diversity": 0.5}, {"groups": 3, "diversity": 0.5}])
def test_groups_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match="groups divides"):
        Beam(width=4, **options)


def test_other_searches_refuse_groups():
    with pytest.raises(ValueError, match="no groups"):
        ctc_beam(EMISSIONS, Beam(width=4, groups=2, diversity=0.5))


PREFIXES = ((4, 6), (), (5,))


@pytest.mark.parametrize("terms", [t for t in TERMS if "ctc_weight" not in t], ids=lambda t: "-".join(t) or "plain")
def test_a_prefix_is_kept_to(terms):
    """All texts that begin with what is given, and no others, with the scores that they have without it."""
    beam = Beam(width=200, max_length=3, **terms)
    prefixes = Padded.stack([torch.tensor(p, dtype=torch.long) for p in PREFIXES])
    found = prefix_constrained_beam(MODEL, MEMORY, beam, prefixes, LM)
    for nbest, free, prefix in zip(found, attention_beam(MODEL, MEMORY, beam, LM), PREFIXES, strict=True):
        truth = [h for h in free if h.tokens[: len(prefix)] == prefix]
        assert [h.tokens for h in nbest] == [h.tokens for h in truth]
        assert [h.score for h in nbest] == pytest.approx([h.score for h in truth], abs=1e-9)
        assert len(nbest) > 3


def test_prefixes_that_cannot_be_are_refused():
    for prefix, message in (((4, EOS), "not blank"), ((UNK,), "not blank"), ((4,) * 5, "cannot begin with 5")):
        prefixes = Padded.stack([torch.tensor(prefix)] * 3)
        with pytest.raises(ValueError, match=message):
            prefix_constrained_beam(MODEL, MEMORY, Beam(max_length=5), prefixes)


@pytest.mark.parametrize("mean", ["probabilities", "log_probs"])
def test_an_ensemble_is_the_enumeration(mean):
    """Of two models of unlike memories, a step at a time."""
    other = Toy(8)
    ensemble = EnsembleDecoder([MODEL, other], mean)
    assert isinstance(ensemble, Decoder)
    memory = ensemble.encode(MEMORY)
    for b, nbest in enumerate(attention_beam(ensemble, memory, Beam(width=200, max_length=2))):
        own, truth = row(MEMORY, b), {}
        for y in ((), *((v,) for v in LETTERS), *itertools.product(LETTERS, repeat=2)):
            written, states, score = y if len(y) == 2 else (*y, EOS), [m.start(own, 1) for m in (MODEL, other)], 0.0
            for before, token in zip([BOS, *written], written, strict=False):
                steps = [m.step(torch.tensor([before]), s, own) for m, s in zip((MODEL, other), states, strict=True)]
                states, told = [step.state for step in steps], torch.cat([step.log_probs for step in steps])
                p = told.exp().mean(0) if mean == "probabilities" else told.mean(0).exp() / told.mean(0).exp().sum()
                score += math.log(p[token])
            truth[y] = score
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-9)


def test_an_ensemble_of_one_is_that_model():
    alone, found = attention_beam(MODEL, MEMORY, Beam(width=3)), EnsembleDecoder([MODEL])
    assert [[h.tokens for h in n] for n in attention_beam(found, found.encode(MEMORY), Beam(width=3))] == [
        [h.tokens for h in n] for n in alone
    ]
    with pytest.raises(ValueError, match="language model"):
        EnsembleDecoder([MODEL, LM]).encode(MEMORY)
    with pytest.raises(ValueError, match="a model or more"):
        EnsembleDecoder([])


def test_no_sources_are_no_hypotheses():
    assert attention_beam(MODEL, Padded(MEMORY.data[:0], MEMORY.lengths[:0]), Beam()) == []


def test_where_nothing_is_possible():
    """A language model that rules out every token of the second step, for the prefixes that are kept."""

    class Mute(Toy):
        def step(self, tokens, state, memory):
            step = super().step(tokens, state, memory)
            return step._replace(log_probs=step.log_probs.masked_fill((tokens != BOS)[:, None], -torch.inf))

    beam = Beam(width=1, max_length=3, lm_weight=1.0, insertion_bonus=50.0)
    for nbest in attention_beam(MODEL, MEMORY, beam, Mute(3, attends=False)):
        assert nbest == [Hypothesis((), -math.inf, (), 0.0)]
