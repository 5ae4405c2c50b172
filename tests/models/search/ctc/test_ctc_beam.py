"""The CTC search against the sum over every alignment of every token sequence."""

import itertools
import math

import pytest
import torch
from ctc_reference import VOCABULARY, Bigrams, collapse, same
from viterbi import viterbi

from models.interface import Beam, Padded, Step
from models.search.ctc.beam import ctc_beam

torch.set_num_threads(1)


def exhaustive(log_probs):
    """log p(y) of every y that (T, V) can say."""
    sums: dict[tuple[int, ...], list[float]] = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = sum(float(log_probs[t, c]) for t, c in enumerate(path))
        sums.setdefault(collapse(path), []).append(score)
    return {y: float(torch.logsumexp(torch.tensor(s, dtype=torch.float64), 0)) for y, s in sums.items()}


def random_emissions(seed, lengths, size=VOCABULARY, sharpness=2.0):
    torch.manual_seed(seed)
    rows = [(sharpness * torch.randn(n, size, dtype=torch.float64)).log_softmax(-1) for n in lengths]
    return Padded.stack(rows)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_wide_beam_is_exhaustive(seed, size):
    lengths = (6, 3, 5)
    emissions = random_emissions(seed, lengths, size)
    for i, nbest in enumerate(ctc_beam(emissions, Beam(width=500))):
        truth = exhaustive(emissions.data[i, : lengths[i]])
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-9)
        assert len(nbest) == len(truth)
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_a_narrow_beam_keeps_no_double_and_no_more_than_the_truth(seed):
    """Prefixes that leave the beam and come back must not be counted twice."""
    emissions = random_emissions(seed, (7, 6), 3, sharpness=0.5)
    for width in (2, 3, 5):
        for i, nbest in enumerate(ctc_beam(emissions, Beam(width=width))):
            truth = exhaustive(emissions.data[i, : emissions.lengths[i]])
            assert len(nbest) == width
            assert len({h.tokens for h in nbest}) == width
            assert all(h.score <= truth[h.tokens] + 1e-9 for h in nbest)


def reference(log_probs, width):
    """The textbook's algorithm with prefixes in a dictionary, for beams that prune."""
    live = {(): (0.0, -math.inf)}
    for frame in log_probs:
        grown: dict[tuple[int, ...], list[list[float]]] = {}
        for y, (blank, label) in live.items():
            grown.setdefault(y, [[], []])[0] += [blank + float(frame[0]), label + float(frame[0])]
            if y:
                grown[y][1].append(label + float(frame[y[-1]]))
            for c in range(1, len(frame)):
                parts = [blank] if y and y[-1] == c else [blank, label]
                grown.setdefault((*y, c), [[], []])[1].extend(m + float(frame[c]) for m in parts)
        masses = {
            y: tuple(float(torch.tensor([-math.inf, *m], dtype=torch.float64).logsumexp(0)) for m in parts)
            for y, parts in grown.items()
        }
        ranked = sorted(masses, key=lambda y, m=masses: -float(torch.tensor(m[y]).logsumexp(0)))
        live = {y: masses[y] for y in ranked[:width]}
    return {y: float(torch.tensor(m, dtype=torch.float64).logsumexp(0)) for y, m in live.items()}


@pytest.mark.parametrize(("width", "size"), [(2, 6), (3, 6), (8, 6), (30, 12)])
def test_a_pruned_beam_equals_the_textbook(width, size):
    emissions = random_emissions(width, (25, 14), size, sharpness=1.0)
    for i, nbest in enumerate(ctc_beam(emissions, Beam(width=width))):
        truth = reference(emissions.data[i, : emissions.lengths[i]], width)
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_width_one_is_the_best_path(seed):
    emissions = random_emissions(seed, (9, 4))
    for i, nbest in enumerate(ctc_beam(emissions, Beam(width=1))):
        row = emissions.data[i, : emissions.lengths[i]]
        assert [h.tokens for h in nbest] == [collapse(row.argmax(-1).tolist())]
        assert nbest[0].score == pytest.approx(float(row.max(-1).values.sum()))


@pytest.mark.parametrize("width", [1, 2, 6])
@pytest.mark.parametrize("lm_weight", [0.0, 0.6])
def test_a_batch_equals_its_rows_in_any_order(width, lm_weight):
    if width == 1 and lm_weight:
        return
    beam, lm = Beam(width=width, lm_weight=lm_weight), Bigrams()
    emissions = random_emissions(3, (20, 7, 0, 13, 1))
    together = ctc_beam(emissions, beam, lm)
    rows = [
        Padded(emissions.data[i : i + 1, :n], emissions.lengths[i : i + 1]) for i, n in enumerate((20, 7, 0, 13, 1))
    ]
    same(together, [ctc_beam(row, beam, lm)[0] for row in rows])
    order = torch.tensor([3, 0, 4, 2, 1])
    shuffled = ctc_beam(Padded(emissions.data[order], emissions.lengths[order]), beam, lm)
    same([together[i] for i in order.tolist()], shuffled)


@pytest.mark.parametrize(("lm_weight", "bonus"), [(0.7, 0.0), (0.0, 1.5), (0.4, -0.8)])
def test_fusion_equals_brute_force(lm_weight, bonus):
    lm, lengths = Bigrams(4), (5, 4)
    emissions = random_emissions(11, lengths, 4)
    beam = Beam(width=400, lm_weight=lm_weight, insertion_bonus=bonus)
    for i, nbest in enumerate(ctc_beam(emissions, beam, lm)):
        truth = {
            y: score + lm_weight * lm.log_prob(y) + bonus * len(y)
            for y, score in exhaustive(emissions.data[i, : lengths[i]]).items()
        }
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-9)
        assert nbest[0].tokens == max(truth, key=lambda y, t=truth: t[y])


@pytest.mark.parametrize("width", [1, 3, 300])
def test_max_length_is_kept(width):
    emissions = random_emissions(5, (6, 5), 4)
    for i, nbest in enumerate(ctc_beam(emissions, Beam(width=width, max_length=2))):
        assert max(len(h.tokens) for h in nbest) <= 2
        truth = exhaustive(emissions.data[i, : emissions.lengths[i]])
        assert all(h.score <= truth[h.tokens] + 1e-9 for h in nbest)
        if width == 300:
            assert {h.tokens: h.score for h in nbest} == pytest.approx(
                {y: s for y, s in truth.items() if len(y) <= 2}, abs=1e-9
            )


@pytest.mark.parametrize("width", [1, 4, 60])
def test_spans_and_confidence_are_the_alignment_s(width):
    emissions = random_emissions(9, (12, 8))
    for i, nbest in enumerate(ctc_beam(emissions, Beam(width=width))):
        for h in nbest:
            _, spans, confidence = viterbi(emissions.data[i, : emissions.lengths[i]], h.tokens)
            assert h.spans == spans
            assert h.confidence == pytest.approx(confidence, nan_ok=True)
            assert len(h.spans) == len(h.tokens)


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (Beam(coverage=0.1), "coverage"),
        (Beam(length_norm=0.5), "length_norm"),
        (Beam(lm_weight=0.5), "no language model"),
        (Beam(width=1, insertion_bonus=0.5), "width 1"),
    ],
)
def test_terms_it_does_not_have_are_refused(beam, message):
    with pytest.raises(ValueError, match=message):
        ctc_beam(random_emissions(0, (3,)), beam)


def test_a_language_model_of_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match="tokenizer"):
        ctc_beam(random_emissions(0, (3,)), Beam(lm_weight=0.5), Bigrams(9))


class Growing(Bigrams):
    """A language model that remembers everything it has read."""

    def start(self, memory, batch_size):
        return torch.zeros(batch_size, 0)

    def step(self, tokens, state, memory):
        return Step(self.table[tokens], torch.cat((state, tokens[:, None].float()), 1))


def test_a_language_model_whose_state_grows_is_refused():
    with pytest.raises(ValueError, match="states of one size"):
        ctc_beam(random_emissions(0, (3,)), Beam(lm_weight=0.5), Growing())
