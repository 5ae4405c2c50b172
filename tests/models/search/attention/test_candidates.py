"""What a beam keeps of a step: the largest of a large vocabulary, exactly; groups that differ, by algorithm 1."""

import itertools

import pytest
import torch

from models.interface import Beam, Step
from models.search.attention.candidates import choose, largest, score_candidates
from models.special_tokens import BLANK, BOS, EOS, UNK

torch.set_num_threads(1)


@pytest.mark.parametrize("size", [5, 130, 2048, 5000, 33_001])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_largest_are_those_of_topk(size, count):
    torch.manual_seed(size)
    values = torch.randn(6, size)
    values[1] = values[1].sort(descending=True).values  # all in the first chunks
    values[2] = values[2].sort().values  # all in what is left over
    found, places = largest(values, count)
    truth = values.topk(min(count, size), 1)
    torch.testing.assert_close(found, truth.values, rtol=0, atol=0)
    torch.testing.assert_close(values.gather(1, places), found, rtol=0, atol=0)
    assert all(len(set(row)) == len(row) for row in places.tolist())


def test_nan_is_never_overlooked():
    for place in (0, 4000, 4999):
        values = torch.randn(2, 5000)
        values[1, place] = torch.nan
        assert largest(values, 3)[0].isnan().any()


@pytest.mark.parametrize("bonus", [0.0, 0.8, -0.8])
@pytest.mark.parametrize("size", [6, 3000])
def test_candidates_hold_the_best_of_all(size, bonus):
    """Of sums of two voices and of one alone; BLANK, BOS and UNK never, EOS without the bonus."""
    torch.manual_seed(1)
    scores = torch.randn(2, 3, dtype=torch.float64)
    steps = [Step(torch.randn(6, size).log_softmax(1), None) for _ in range(2)]
    beam = Beam(width=4, insertion_bonus=bonus)
    for voices in (steps[:1], steps):
        totals = (scores + bonus)[..., None] + voices[0].log_probs.view(2, 3, size)
        if len(voices) > 1:
            totals = totals + 0.5 * voices[1].log_probs.view(2, 3, size)
        totals[..., EOS] -= bonus
        totals[..., [BLANK, BOS, UNK]] = -torch.inf
        best, origin, added = choose(score_candidates(voices, [1.0, 0.5], scores, beam), beam)
        truth = totals.flatten(1).topk(4, 1)
        torch.testing.assert_close(best, truth.values, rtol=1e-12, atol=1e-12)
        assert torch.equal(origin * size + added, truth.indices)


def test_groups_are_algorithm_1():
    """Each group in turn, by its scores less the penalty for what those before it took; of its own prefixes alone."""
    torch.manual_seed(2)
    beam, size = Beam(width=6, groups=3, diversity=0.7), 7
    scores, log_probs = torch.randn(2, 6, dtype=torch.float64), torch.randn(12, size, dtype=torch.float64)
    found = choose(score_candidates([Step(log_probs, None)], [1.0], scores, beam), beam)
    for a in range(2):
        taken, truth = [], []
        for group in range(3):
            ranked = []
            for k, token in itertools.product((2 * group, 2 * group + 1), (EOS, *range(UNK + 1, size))):
                score = float(scores[a, k] + log_probs[6 * a + k, token])
                ranked.append((score - 0.7 * taken.count(token), score, k, token))
            chosen = sorted(ranked, reverse=True)[:2]
            taken += [token for *_, token in chosen]
            truth += [(pytest.approx(score), k, token) for _, score, k, token in chosen]
        assert list(zip(*(x[a].tolist() for x in found), strict=True)) == truth
