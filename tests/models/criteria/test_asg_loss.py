"""The auto segmentation criterion against every path of a tiny lattice, and its gradient."""

import itertools
import math

import pytest
import torch

from models.criteria.asg import asg, mark_repeats, path_occupancy, read_path
from models.interface import Padded

torch.set_num_threads(1)

V = 4


def lattice(*lengths):
    torch.manual_seed(sum(lengths))
    emissions = [torch.randn(n, V, dtype=torch.float64) for n in lengths]
    return emissions, torch.randn(V, V, dtype=torch.float64)


def texts(x, g):
    """Of every text what its paths add up to, as probability."""
    found = {}
    for path in itertools.product(range(V), repeat=len(x)):
        score = sum(x[t, v] for t, v in enumerate(path)) + sum(g[u, v] for u, v in itertools.pairwise(path))
        tokens, _ = read_path(list(path))
        found[tokens] = found.get(tokens, 0.0) + math.exp(score)
    total = sum(found.values())
    return {text: p / total for text, p in found.items()}


def target(*rows):
    return Padded.stack([torch.tensor(row, dtype=torch.long) for row in rows])


@pytest.mark.parametrize(
    ("tokens", "symbols"),
    [
        ([5], [5]),
        ([5, 6], [5, 6]),
        ([5, 5], [5, 0]),
        ([5, 5, 5, 6, 6], [5, 0, 5, 6, 0]),
        ([5, 5, 5, 5, 5, 6, 5], [5, 0, 5, 0, 5, 6, 5]),
    ],
)
def test_repetitions(tokens, symbols):
    assert mark_repeats(target(tokens, [9, 9, 9])).tolist()[0][: len(tokens)] == symbols
    path = [s for s in symbols for _ in range(3)]
    assert read_path(path) == (tuple(tokens), tuple(range(0, len(path), 3)))
    assert read_path([0, 0, *path])[0] == tuple(tokens)


def test_every_text_has_one_spelling():
    """No two neighbors are the same, and reading gives the text back."""
    for size in range(7):
        for tokens in itertools.product((1, 2), repeat=size):
            symbols = mark_repeats(target(tokens))[0].tolist()
            assert all(a != b for a, b in itertools.pairwise([0, *symbols]))
            assert read_path(symbols)[0] == tokens


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_every_path_counts(steps):
    """p(text) is the sum over its paths by that over all, for every text there is; together they are 1."""
    (x,), g = lattice(steps)
    expected = texts(x, g)
    together = 0.0
    for text, p in expected.items():
        loss = asg(Padded.stack([x]), target(text), g)
        assert float(loss.total) == pytest.approx(-math.log(p), rel=1e-9, abs=1e-9)
        assert int(loss.count) == len(text)
        together += math.exp(-float(loss.total))
    assert together == pytest.approx(1, rel=1e-9)
    assert () in expected
    assert len(expected) == sum(3**n for n in range(steps + 1))


def test_occupancy_is_that_of_every_path():
    rows, g = lattice(4, 2)
    found, total = path_occupancy(Padded.stack(rows), g)
    for b, x in enumerate(rows):
        visits, every = torch.zeros(len(x), V, dtype=torch.float64), 0.0
        for path in itertools.product(range(V), repeat=len(x)):
            score = sum(x[t, v] for t, v in enumerate(path)) + sum(g[u, v] for u, v in itertools.pairwise(path))
            every += math.exp(score)
            for t, v in enumerate(path):
                visits[t, v] += math.exp(score)
        assert float(total[b]) == pytest.approx(math.log(every), rel=1e-9)
        torch.testing.assert_close(found[b, : len(x)].exp(), visits / every)


def test_a_batch_is_its_rows():
    """Padding of every kind, nan in it; values and gradients."""
    rows, g = lattice(6, 1, 3, 4, 2)
    words = [[2, 2, 2, 1], [3], [], [1, 2], [2, 2]]
    results = []
    for groups in ([range(5)], [[b] for b in range(5)]):
        xs, weights, total = [x.clone().requires_grad_() for x in rows], g.clone().requires_grad_(), 0.0
        for group in groups:
            emissions = Padded.stack([xs[b] for b in group], fill=float("nan"))
            total = total + asg(emissions, target(*(words[b] for b in group)), weights).total
        total.backward()
        results.append([total.detach(), weights.grad, *(x.grad for x in xs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_gradient():
    rows, g = lattice(5, 4, 2, 1)
    words = target([2, 2, 2], [1, 3], [2, 1], [])
    lengths = torch.tensor([5, 4, 2, 1])

    def total(x, transitions):
        return asg(Padded(x, lengths), words, transitions).total

    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    assert torch.autograd.gradcheck(total, (x.requires_grad_(), g.requires_grad_()))


def test_a_target_without_a_path_adds_nothing():
    rows, g = lattice(3, 1)
    xs, weights = [x.requires_grad_() for x in rows], g.requires_grad_()
    both = asg(Padded.stack(xs), target([1, 2], [1, 2]), weights)
    both.total.backward()
    assert xs[1].grad.abs().sum() == 0
    alone = asg(Padded.stack(xs[:1]), target([1, 2]), weights).total
    torch.testing.assert_close(both.total, alone)
    assert xs[0].grad.isfinite().all()
    assert weights.grad.isfinite().all()
    nothing = asg(Padded(torch.zeros(2, 0, V), torch.tensor([0, 0])), target([1], []), weights)
    assert float(nothing.total.detach()) == 0


def test_a_number_added_to_a_step_changes_nothing():
    (x,), g = lattice(5)
    words = target([1, 1, 3])
    torch.testing.assert_close(
        asg(Padded.stack([x]), words, g).total, asg(Padded.stack([x.log_softmax(-1)]), words, g).total
    )


def test_long_and_sure_emissions_stay_finite():
    """Scores of thousands of nats, in float32."""
    torch.manual_seed(0)
    x, g = (200 * torch.randn(2, 400, 30)).requires_grad_(), (20 * torch.randn(30, 30)).requires_grad_()
    words = Padded(torch.randint(1, 30, (2, 50)), torch.tensor([50, 31]))
    loss = asg(Padded(x, torch.tensor([400, 300])), words, g)
    loss.total.backward()
    assert loss.total.dtype == torch.float32
    assert loss.total > 0
    assert x.grad.isfinite().all()
    assert g.grad.isfinite().all()
    torch.testing.assert_close(x.grad.sum(-1), torch.zeros(2, 400), rtol=0, atol=1e-4)
