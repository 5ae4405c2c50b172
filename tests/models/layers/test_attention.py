"""Attention against its equations, a step and a head at a time; what padding may not change; its gradients."""

import pytest
import torch

from models.interface import Padded
from models.layers.attention import Attention

torch.set_num_threads(1)

QUERY, MEMORY, HIDDEN = 5, 6, 4
KINDS = [("dot", 1), ("dot", 2), ("additive", 1), ("additive", 2)]
LENGTHS = (7, 3, 1)


@pytest.fixture(params=KINDS, ids=str)
def attention(request):
    torch.manual_seed(0)
    score, heads = request.param
    return Attention(score, QUERY, MEMORY, HIDDEN, heads).double()


@pytest.fixture
def memory():
    torch.manual_seed(1)
    return Padded.stack([torch.randn(n, MEMORY, dtype=torch.float64) for n in LENGTHS], fill=float("nan"))


def by_hand(attention, s, h):
    """The context and the weights of one query s for h (T, memory), from the equations."""
    size, contexts, weights = HIDDEN // attention.heads, [], []
    for m in range(attention.heads):
        rows = slice(m * size, (m + 1) * size)
        query = attention.query.weight[rows] @ s + attention.query.bias[rows]
        energies = []
        for h_u in h:
            key = attention.key.weight[rows] @ h_u
            if attention.score == "dot":
                energies.append(torch.tanh(query) @ torch.tanh(key + attention.key.bias[rows]))
            else:
                energies.append(attention.weight[m] @ torch.tanh(query + key))
        e = torch.stack(energies).exp()
        alpha = e / e.sum()
        share = slice(m * MEMORY // attention.heads, (m + 1) * MEMORY // attention.heads)
        values = h if attention.heads == 1 else h @ attention.value.weight[share].T
        contexts.append(sum(a * v for a, v in zip(alpha, values, strict=True)))
        weights.append(alpha)
    return torch.cat(contexts), torch.stack(weights).mean(0)


@pytest.mark.parametrize("each", [1, 3])
def test_it_is_its_equations(attention, memory, each):
    """For one query a source and for several; NaN in the padding is not read."""
    queries = torch.randn(len(LENGTHS) * each, QUERY, dtype=torch.float64)
    context, weights = attention(queries, attention.parts(attention.prepare(memory)))
    for n, s in enumerate(queries):
        length = LENGTHS[n // each]
        c, alpha = by_hand(attention, s, memory.data[n // each, :length])
        torch.testing.assert_close(context[n], c, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(weights[n, :length], alpha, rtol=1e-9, atol=1e-12)
        assert not weights[n, length:].any()
    torch.testing.assert_close(weights.sum(1), torch.ones(len(queries)).double())


def test_every_parameter_learns_and_its_gradient_is_right(attention, memory):
    queries = torch.randn(len(LENGTHS), QUERY, dtype=torch.float64, requires_grad=True)
    clean = memory.data.nan_to_num(0).requires_grad_()

    def context(s, h):
        return attention(s, attention.parts(attention.prepare(Padded(h, memory.lengths))))

    assert torch.autograd.gradcheck(context, (queries, clean))
    context(queries, clean).context.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in attention.parameters())
    assert not clean.grad[~memory.mask()].any()


def test_a_source_without_steps_gives_nothing(attention, memory):
    memory = Padded(memory.data, torch.tensor([7, 0, 1]))
    queries = torch.randn(3, QUERY, dtype=torch.float64, requires_grad=True)
    context, weights = attention(queries, attention.parts(attention.prepare(memory)))
    assert not context[1].any()
    assert not weights[1].any()
    context.sum().backward()
    assert all(p.grad.isfinite().all() for p in attention.parameters())


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="one of dot, additive"):
        Attention("cosine", QUERY, MEMORY, HIDDEN)
    for heads in (0, 3, 4):
        with pytest.raises(ValueError, match="do not divide"):
            Attention("dot", QUERY, MEMORY, HIDDEN, heads)
