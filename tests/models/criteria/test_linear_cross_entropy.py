"""The softmax layer with its loss: torch's loss and slopes of all logits at once, whatever the rows at a time."""

import pytest
import torch

from models.criteria import linear_cross_entropy as module
from models.criteria.linear_cross_entropy import linear_cross_entropy
from models.criteria.token_cross_entropy import cross_entropy
from models.interface import Padded

torch.set_num_threads(1)


def case(padding=0):
    torch.manual_seed(0)
    h = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(11, 5, dtype=torch.float64, requires_grad=True)
    target = Padded(torch.randint(11, (3, 7)), torch.tensor([7, 1, 4]))
    return h, weight, Padded(target.data.masked_fill(~target.mask(), padding), target.lengths)


@pytest.mark.parametrize("logits", [1, 44, 1 << 20])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_the_loss_of_all_logits(monkeypatch, logits, smoothing):
    monkeypatch.setattr(module, "LOGITS", logits)
    h, weight, target = case()
    truth = cross_entropy(h @ weight.T, target, smoothing)
    found = linear_cross_entropy(h, weight, target, smoothing)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(3 * loss.mean(), (h, weight)) for loss in (found, truth)]
    torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(h, weight, target, smoothing), truth, rtol=1e-12, atol=1e-12)


def test_a_layer_that_learns_alone_and_one_that_is_frozen():
    h, weight, target = case()
    truth = torch.autograd.grad(cross_entropy(h @ weight.T, target).total, (h, weight))
    for learned, slope in ((h, truth[0]), (weight, truth[1])):
        other = [x if x is learned else x.detach() for x in (h, weight)]
        found = torch.autograd.grad(linear_cross_entropy(*other, target).total, learned)
        torch.testing.assert_close(found[0], slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("logits", [44, 1 << 20])
def test_in_bfloat16_it_is_near(monkeypatch, logits):
    """Products are rounded to 8 bits, sums are not: of 1,000 rows' losses no more is lost than of one's."""
    monkeypatch.setattr(module, "LOGITS", logits)
    torch.manual_seed(0)
    h, weight = (torch.randn(n, 16, requires_grad=True) for n in (1000, 11))
    target = Padded(torch.randint(11, (1, 1000)), torch.tensor([1000]))
    truth = cross_entropy((h @ weight.T)[None], target)
    with torch.autocast("cpu", torch.bfloat16):
        found = linear_cross_entropy(h[None], weight, target)
    assert found.total.dtype == torch.float32
    torch.testing.assert_close(found.total, truth.total, rtol=1e-3, atol=0)
    slopes = [torch.autograd.grad(loss.mean(), (h, weight)) for loss in (found, truth)]
    for got, right in zip(*slopes, strict=True):
        assert float((got - right).norm() / right.norm()) < 0.01


def test_padding_may_hold_anything_and_large_logits_stay_finite():
    h, weight, target = case(padding=-7)
    found = linear_cross_entropy(1e4 * h, weight, target)
    torch.testing.assert_close(found, cross_entropy(1e4 * h @ weight.T, target), rtol=1e-12, atol=1e-9)
