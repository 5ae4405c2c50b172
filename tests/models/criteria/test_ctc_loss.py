"""CTC against its definition: the sum over every alignment, one by one."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from models.criteria.ctc import ctc, min_input_length
from models.interface import Padded

torch.set_num_threads(1)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def summed(log_probs, target):
    """log p(target) of (T, V) by going through all V^T alignments."""
    steps, size = log_probs.shape
    scores = [
        sum(float(log_probs[t, c]) for t, c in enumerate(path))
        for path in itertools.product(range(size), repeat=steps)
        if collapse(path) == tuple(target)
    ]
    return torch.logsumexp(torch.tensor(scores, dtype=torch.float64), 0)


@pytest.fixture
def emissions():
    torch.manual_seed(1)
    rows = [torch.randn(n, 4, dtype=torch.float64).log_softmax(-1) for n in (5, 3, 6, 1)]
    return Padded.stack(rows)


TARGETS = [[1, 1, 2], [3], [2, 1, 2, 2], []]


def stacked(targets):
    return Padded.stack([torch.tensor(t, dtype=torch.long) for t in targets])


def test_equals_the_sum_over_all_alignments(emissions):
    loss = ctc(emissions, stacked(TARGETS))
    rows = zip(emissions.data, emissions.lengths, TARGETS, strict=True)
    truth = -sum(summed(row[:n], target) for row, n, target in rows)
    torch.testing.assert_close(loss.total, truth)
    assert loss.count == 8


def test_equals_torch(emissions):
    target = stacked(TARGETS)
    theirs = F.ctc_loss(
        emissions.data.transpose(0, 1), target.data, emissions.lengths, target.lengths, reduction="none"
    )
    torch.testing.assert_close(ctc(emissions, target).total, theirs.sum())


def test_padding_is_not_read(emissions):
    loss = ctc(emissions, stacked(TARGETS)).total
    data = emissions.data.masked_fill(~emissions.mask()[..., None], -3.0)
    target = stacked(TARGETS)
    target = Padded(target.data.masked_fill(~target.mask(), 3), target.lengths)
    torch.testing.assert_close(ctc(Padded(data, emissions.lengths), target).total, loss)
    assert min_input_length(target).tolist() == [4, 1, 5, 0]


def test_gradient():
    torch.manual_seed(2)
    logits = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    target, lengths = stacked([[1, 1, 2], [3], [1, 2, 3]]), torch.tensor([5, 3, 4])
    assert torch.autograd.gradcheck(lambda x: ctc(Padded(x.log_softmax(-1), lengths), target).total, logits)


def test_an_infeasible_target_adds_nothing():
    torch.manual_seed(3)
    logits = torch.randn(2, 3, 4, requires_grad=True)
    target, lengths = stacked([[1, 1, 2], [2]]), torch.tensor([3, 3])
    loss = ctc(Padded(logits.log_softmax(-1), lengths), target)
    alone = ctc(Padded(logits[1:].log_softmax(-1), lengths[1:]), stacked([[2]]))
    torch.testing.assert_close(loss.total, alone.total)
    loss.total.backward()
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def test_half_precision_is_summed_in_single():
    log_probs = torch.randn(1, 6, 4).log_softmax(-1).bfloat16()
    loss = ctc(Padded(log_probs, torch.tensor([6])), stacked([[1, 2]]))
    assert loss.total.dtype == torch.float32
    assert loss.total.isfinite()


def test_steps_needed_is_the_shortest_alignment():
    shortest: dict[tuple[int, ...], int] = {}
    for steps in range(8):
        for path in itertools.product(range(3), repeat=steps):
            shortest.setdefault(collapse(path), steps)
    targets = [list(y) for length in range(5) for y in itertools.product((1, 2), repeat=length)]
    needed = min_input_length(stacked(targets))
    assert needed.tolist() == [shortest[tuple(y)] for y in targets]
