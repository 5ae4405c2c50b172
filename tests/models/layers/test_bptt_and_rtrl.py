"""RTRL against back-propagation through time, and truncation against what autograd says of the steps in between."""

import pytest
import torch

from models import char_rnn
from models.cells.elman import Config, Elman
from models.interface import Batch, Padded
from models.layers.rtrl import begin_influence, rtrl_gradients, rtrl_step
from models.layers.truncated_bptt import cut_steps, truncated
from models.search.state_tree import tree_fill, tree_leaves

torch.set_num_threads(1)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_rtrl_s_gradient_is_bptt_s(nonlinearity):
    """After every step, not only the last: what RTRL knows online is what BPTT finds by going back to the start."""
    torch.manual_seed(0)
    cell = Elman(Config(nonlinearity=nonlinearity), 3, 5).double()
    xs, weights = torch.randn(12, 4, 3).double(), torch.randn(12, 4, 5).double()
    influence, online = begin_influence(cell, 4), {name: 0.0 for name, _ in cell.named_parameters()}
    state, total = cell.begin(4), 0.0
    for t in range(12):
        influence = rtrl_step(cell, xs[t], influence)
        to_h = 2 * influence.h * weights[t]  # of L(t) = sum weights h^2
        online = {name: online[name] + g for name, g in rtrl_gradients(cell, influence, to_h).items()}
        y, state = cell(xs[t], state)
        total = total + (weights[t] * y.square()).sum()
        torch.testing.assert_close(influence.h, y, rtol=1e-12, atol=1e-12)
        truth = torch.autograd.grad(total, list(cell.parameters()), retain_graph=True)
        for (name, _), g in zip(cell.named_parameters(), truth, strict=True):
            torch.testing.assert_close(online[name], g, rtol=1e-9, atol=1e-9)


def test_rtrl_learns_online():
    """Updates at every step of one endless sequence: the cell learns to say what it heard two steps ago."""
    torch.manual_seed(0)
    cell = Elman(Config(), 1, 8).double()
    readout = torch.nn.Linear(8, 1).double()
    bits = torch.randint(2, (1000, 1, 1)).double()
    influence, errors = begin_influence(cell, 1), []
    optimiser = torch.optim.Adam([*cell.parameters(), *readout.parameters()], lr=0.01)
    for t in range(2, 1000):
        influence = rtrl_step(cell, bits[t], influence)
        h = influence.h.clone().requires_grad_()
        error = (readout(h) - bits[t - 2]).square().sum()
        optimiser.zero_grad()
        error.backward()
        for name, g in rtrl_gradients(cell, influence, h.grad).items():
            getattr(cell, name).grad = g.clone()
        optimiser.step()
        errors.append(float(error.detach()))
    assert sum(errors[-200:]) / 200 < 0.05  # a coin's variance, all that the bit just heard leaves, is 0.25


def stream(length, rows=2):
    """Each token is its own step's number, so that an embedding's gradient tells which steps a loss reached."""
    tokens = torch.arange(length).expand(rows, -1)
    lengths = torch.full((rows,), length)
    return Batch(("a",) * rows, Padded(tokens, lengths), Padded(tokens.flip(1), lengths))


def language_model(vocabulary=12):
    torch.manual_seed(0)
    return char_rnn.Config(embedding_size=4, recurrent={"hidden_size": 6}, readout=()).build(0, vocabulary).double()


def embedding_gradient(model, loss):
    (grad,) = torch.autograd.grad(loss.total, [model.embedding.weight], retain_graph=True)
    return grad


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (2, 2), (2, 4), (3, 9), (1, 5), (5, 5), (4, 12), (12, 12), (20, 20)])
def test_the_gradient_reaches_k2_steps_back_and_no_further(k1, k2):
    """The step that a chunk's loss reaches is counted, and its gradient is that of the same loss cut there by hand."""
    model, batch = language_model(), stream(12)
    state, begin = None, 0
    for loss, after in truncated(model, batch, k1, k2, None):
        end = min(begin + k1, 12)
        first = max(begin + k1 - k2, 0)
        reached = embedding_gradient(model, loss).abs().sum(1).nonzero().flatten().tolist()
        assert reached == list(range(first, end))
        with torch.no_grad():
            before = model.advance(cut_steps(batch, 0, first), None)[1] if first else None
        mid = model.advance(cut_steps(batch, first, begin), before)[1] if first < begin else before
        truth, _ = model.advance(cut_steps(batch, begin, end), mid)
        torch.testing.assert_close(loss.total, truth.total)
        torch.testing.assert_close(embedding_gradient(model, loss), embedding_gradient(model, truth))
        state, begin = after, end
    assert begin == 12
    assert not any(leaf.requires_grad for layer in state for leaf in layer[:2])


def test_the_whole_length_is_full_bptt():
    model, batch = language_model(), stream(12)
    ((loss, _),) = truncated(model, batch, 12, 12, None)
    mine, truth = (torch.autograd.grad(x.total, list(model.parameters())) for x in (loss, model.loss(batch)))
    torch.testing.assert_close(mine, truth, rtol=1e-12, atol=1e-12)


def test_windows_of_the_whole_past_add_up_to_full_bptt():
    """k2 as long as the stream: each chunk's gradient is exact, so those of all chunks sum to that of the whole."""
    model, batch = language_model(), stream(12)
    sums = [torch.zeros_like(p) for p in model.parameters()]
    for loss, _ in truncated(model, batch, 3, 12, None):
        sums = [s + g for s, g in zip(sums, torch.autograd.grad(loss.total, list(model.parameters())), strict=True)]
    truth = torch.autograd.grad(model.loss(batch).total, list(model.parameters()))
    torch.testing.assert_close(sums, list(truth), rtol=1e-9, atol=1e-12)


def test_the_state_goes_on_over_batches():
    model, batch = language_model(), stream(12)
    with torch.no_grad():
        whole = model.loss(batch).total
        state, total = None, 0.0
        for part in (cut_steps(batch, 0, 5), cut_steps(batch, 5, 12)):
            for loss, after in truncated(model, part, 2, 2, state):
                state, total = after, total + loss.total
    torch.testing.assert_close(total, whole)


def test_what_cannot_be_truncated_is_refused():
    model = language_model()
    for k1, k2 in ((0, 1), (2, 1), (2, 3)):
        with pytest.raises(ValueError, match="multiple of k1"):
            truncated(model, stream(4), k1, k2, None)
    with pytest.raises(ValueError, match="for streams"):
        truncated(model, Batch(("a",), None, stream(4).target), 1, 1, None)


def test_a_state_is_its_leaves_and_its_form():
    model = language_model()
    model.train()
    _, state = model.advance(stream(5), None)
    again = tree_fill(model.start(None, 1), tree_leaves(state))
    torch.testing.assert_close(tree_leaves(again), tree_leaves(state))
    assert type(again[0]) is type(state[0])
