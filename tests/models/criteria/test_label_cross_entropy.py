"""The criterion and the search of classifiers, against their definitions."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.criteria.label_cross_entropy import label_cross_entropy
from models.interface import Beam, Padded
from models.search.classifier_n_best import classifier_n_best

torch.set_num_threads(1)

LABELS = torch.tensor([[4], [0], [2]])
TARGET = Padded(LABELS, torch.ones(3, dtype=torch.long))


def scores():
    torch.manual_seed(0)
    return torch.randn(3, 5, dtype=torch.float64, requires_grad=True)


def test_the_loss_is_cross_entropy_and_its_gradient_the_error():
    z = scores()
    loss = label_cross_entropy(z.log_softmax(-1), TARGET)
    torch.testing.assert_close(loss.total, F.cross_entropy(z, LABELS[:, 0], reduction="sum"))
    assert loss.count == 3
    loss.total.backward()
    torch.testing.assert_close(z.grad, z.softmax(-1) - F.one_hot(LABELS[:, 0], 5))


@pytest.mark.parametrize("lengths", [[1, 1, 2], [1, 0, 1]])
def test_a_target_that_is_not_one_label_is_refused(lengths):
    target = Padded.stack([torch.ones(n, dtype=torch.long) for n in lengths])
    with pytest.raises(ValueError, match="one label"):
        label_cross_entropy(scores().log_softmax(-1), target)


@pytest.mark.parametrize("width", [1, 3, 9])
def test_the_search_ranks_every_label(width):
    log_probs = scores().log_softmax(-1)
    for row, found in zip(log_probs.tolist(), classifier_n_best(log_probs, Beam(width=width)), strict=True):
        truth = sorted(((p, label) for label, p in enumerate(row)), reverse=True)[:width]
        assert [h.tokens for h in found] == [(label,) for _, label in truth]
        assert [h.score for h in found] == [p for p, _ in truth]
        assert [h.confidence for h in found] == pytest.approx([math.exp(p) for p, _ in truth], rel=1e-12)
        if width == 9:
            assert sum(h.confidence for h in found) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("term", ["length_norm", "coverage", "lm_weight", "insertion_bonus"])
def test_terms_without_a_meaning_are_refused(term):
    with pytest.raises(ValueError, match=term):
        classifier_n_best(torch.zeros(1, 5), Beam(**{term: 0.5}))


def test_a_language_model_is_refused():
    class Silent:
        def encode(self, source): ...
        def start(self, memory, batch_size): ...
        def step(self, tokens, state, memory): ...

    with pytest.raises(ValueError, match="no language model"):
        classifier_n_best(torch.zeros(1, 5), Beam(), Silent())
