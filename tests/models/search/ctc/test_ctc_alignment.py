"""The Viterbi alignment against a search through every alignment."""

import itertools
import math

import pytest
import torch
from viterbi import viterbi

from models.interface import Padded
from models.search.ctc.forced_alignment import ctc_alignment

torch.set_num_threads(1)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def best(log_probs, target):
    """The best alignment of (T, V) to the target and its score, by going through all of them."""
    steps, size = log_probs.shape
    paths = [p for p in itertools.product(range(size), repeat=steps) if collapse(p) == tuple(target)]
    scored = [(sum(float(log_probs[t, c]) for t, c in enumerate(p)), p) for p in paths]
    return max(scored, default=(-math.inf, ()))


def runs(path):
    """The spans of a path's tokens, [first, last)."""
    spans, t = [], 0
    for token, group in itertools.groupby(path):
        length = len(list(group))
        if token:
            spans.append((t, t + length))
        t += length
    return tuple(spans)


def padded(rows):
    return Padded.stack([torch.tensor(row, dtype=torch.long) for row in rows])


@pytest.mark.parametrize("seed", range(8))
def test_is_the_best_of_all_paths(seed):
    torch.manual_seed(seed)
    emissions = Padded.stack([(2 * torch.randn(n, 3, dtype=torch.float64)).log_softmax(-1) for n in (6, 4, 1, 5)])
    targets = [[[1, 1], [2, 1, 2]], [[1, 2, 2], []], [[2], [1, 2]], [[1, 1, 1], [2, 2, 1]]]
    found = ctc_alignment(emissions, padded([t for pair in targets for t in pair]))
    assert len(found) == 8
    for i, alignment in enumerate(found):
        log_probs = emissions.data[i // 2, : emissions.lengths[i // 2]]
        score, path = best(log_probs, targets[i // 2][i % 2])
        assert alignment.score == pytest.approx(score, abs=1e-12)
        if score == -math.inf:
            assert alignment.spans == ()
            assert math.isnan(alignment.confidence)
            continue
        assert alignment.spans == runs(path)
        peaks = [max(float(log_probs[t, path[a]]) for t in range(a, b)) for a, b in alignment.spans]
        if peaks:
            assert alignment.confidence == pytest.approx(math.exp(sum(peaks) / len(peaks)))
        else:
            assert math.isnan(alignment.confidence)


@pytest.mark.parametrize("seed", range(6))
def test_many_texts_that_begin_alike(seed):
    """Their prefixes are aligned once; of some steps and tokens the probability is 0, so some have no path."""
    torch.manual_seed(seed)
    rows = []
    for n in (30, 17):
        logits = 3 * torch.randn(n, 4, dtype=torch.float64)
        rows.append(logits.masked_fill(torch.rand(n, 4) < 0.1, -torch.inf).log_softmax(-1))
    targets = [torch.randint(1, 4, (n,)).tolist() for n in (0, 1, 2, 5, 8, 12, 16, 20)]
    targets += [targets[-1][:n] + targets[3] for n in (3, 7, 11)] + [targets[-1][:9]] * 2
    found = ctc_alignment(Padded.stack(rows), padded(targets * 2))
    assert {h.score == -math.inf for h in found} == {True, False}
    for i, h in enumerate(found):
        target = targets[i % len(targets)]
        score, spans, confidence = viterbi(rows[i // len(targets)], target)
        assert h.tokens == tuple(target)
        assert h.score == pytest.approx(score)
        assert h.spans == spans
        assert h.confidence == pytest.approx(confidence, nan_ok=True)


def test_rows_must_divide():
    emissions = Padded.stack([torch.zeros(3, 3), torch.zeros(3, 3)])
    with pytest.raises(ValueError, match="3 targets"):
        ctc_alignment(emissions, padded([[1], [2], [1]]))
    with pytest.raises(ValueError, match="1 targets"):
        ctc_alignment(Padded(emissions.data[:0], emissions.lengths[:0]), padded([[1]]))
    assert ctc_alignment(emissions, Padded(torch.empty(0, 0, dtype=torch.long), torch.empty(0, dtype=torch.long))) == []


def test_an_utterance_without_steps():
    emissions = Padded(torch.zeros(1, 0, 3), torch.tensor([0]))
    nothing, something = ctc_alignment(emissions, padded([[], [1]]))
    assert nothing.score == 0
    assert something.score == -math.inf
