"""RTRL against back-propagation through time, and truncation against what autograd says of the steps in between."""

import pytest
import torch

from models import char_rnn
from models.cells.elman_jordan import Config
from models.interface import Batch, Padded
from models.layers.rnn_stack import Recurrent
from models.layers.rtrl import RealTimeElman
from models.layers.truncated_bptt import CarriedChunks, run_window
from models.search.state_pytree import detach_state, tree_fill, tree_leaves

torch.set_num_threads(1)


def chunks(model, stream, k1, k2):
    """As the training loop has it: for each k1 steps the loss, whose gradient goes back k2, and the state after."""
    past = CarriedChunks(k2 // k1)
    for begin in range(0, stream.target.data.shape[1], k1):
        chunk = cut(stream, begin, begin + k1)
        loss, after = run_window(model, past.window(chunk), past.root)
        past.push(chunk, after)
        yield loss, past.state


def cut(stream, begin, end):
    """Steps [begin, end) of a stream, as far as each row has them."""
    lengths = (stream.source.lengths - begin).clamp(0, min(end, stream.source.data.shape[1]) - begin)
    return Batch(stream.keys, *(Padded(x.data[:, begin:end], lengths) for x in (stream.source, stream.target)))


def summed_gradients(model, losses):
    sums = [torch.zeros_like(p) for p in model.parameters()]
    for loss, _ in losses:
        sums = [s + g for s, g in zip(sums, torch.autograd.grad(loss.total, list(model.parameters())), strict=True)]
    return sums


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "clipped_relu"])
@pytest.mark.parametrize("length", [1, 3, 12])
def test_rtrl_s_gradient_is_bptt_s(nonlinearity, length):
    """What a language model learns step by step of a stream is what BPTT finds by going back to its start."""
    options = {"embedding_size": 0, "readout": (4,)}
    recurrent = {"hidden_size": 5, "elman": {"nonlinearity": nonlinearity}}
    torch.manual_seed(0)
    online = char_rnn.Config(recurrent=recurrent | {"cell": "elman_rtrl"}, **options).build(0, 6).double().train()
    for value in online.parameters():
        torch.nn.init.normal_(value, std=0.7)
    whole = char_rnn.Config(recurrent=recurrent | {"cell": "elman"}, **options).build(0, 6).double()
    for value, same in zip(whole.parameters(), online.parameters(), strict=True):
        value.data.copy_(same.data)
    tokens = torch.randint(6, (3, 13))
    lengths = torch.tensor([12, 7, 10])
    batch = Batch(("a", "b", "c"), Padded(tokens[:, :-1], lengths), Padded(tokens[:, 1:], lengths))
    loss = whole.loss(batch)
    truth = torch.autograd.grad(loss.total, list(whole.parameters()))
    found = summed_gradients(online, chunks(online, batch, length, length))
    torch.testing.assert_close(found, list(truth), rtol=1e-9, atol=1e-9)
    online.eval()
    torch.testing.assert_close(online.loss(batch).total, loss.total, rtol=1e-12, atol=1e-12)
    assert len(tree_leaves(online.start(None, 2))) == 1, "the influence is for training alone"


def test_rtrl_learns_online():
    """Updates at every step of one endless sequence: the cell learns to say what it heard two steps ago."""
    torch.manual_seed(0)
    cell, readout = RealTimeElman(Config(), 1, 8).double(), torch.nn.Linear(8, 1).double()
    bits = torch.randint(2, (1000, 1, 1)).double()
    state, errors = cell.begin(1), []
    optimizer = torch.optim.Adam([*cell.parameters(), *readout.parameters()], lr=0.01)
    for t in range(2, 1000):
        h, state = cell(bits[t], detach_state(state))
        error = (readout(h) - bits[t - 2]).square().sum()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert sum(errors[-200:]) / 200 < 0.05  # a coin's variance, all that the bit just heard leaves, is 0.25


def test_what_rtrl_cannot_give_a_gradient_is_refused():
    for options in ({"layers": 2}, {"bidirectional": True}, {"learn_start": True}, {"zoneout": 0.1}):
        with pytest.raises(ValueError, match="influence"):
            Recurrent(cell="elman_rtrl", **options)
    with pytest.raises(ValueError, match="embedding_size=0"):
        char_rnn.Config(recurrent={"cell": "elman_rtrl"})
    cell = RealTimeElman(Config(), 2, 3)
    with pytest.raises(ValueError, match="no gradient to what is below"):
        cell(torch.zeros(1, 2, requires_grad=True), cell.begin(1))


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
    for loss, after in chunks(model, batch, k1, k2):
        end = min(begin + k1, 12)
        first = max(begin + k1 - k2, 0)
        reached = embedding_gradient(model, loss).abs().sum(1).nonzero().flatten().tolist()
        assert reached == list(range(first, end))
        with torch.no_grad():
            before = model.advance(cut(batch, 0, first), None)[1] if first else None
        mid = model.advance(cut(batch, first, begin), before)[1] if first < begin else before
        truth, _ = model.advance(cut(batch, begin, end), mid)
        torch.testing.assert_close(loss.total, truth.total)
        torch.testing.assert_close(embedding_gradient(model, loss), embedding_gradient(model, truth))
        state, begin = after, end
    assert begin == 12
    assert not any(leaf.requires_grad for layer in state for leaf in layer[:2])


def test_the_whole_length_is_full_bptt():
    model, batch = language_model(), stream(12)
    ((loss, _),) = chunks(model, batch, 12, 12)
    mine, truth = (torch.autograd.grad(x.total, list(model.parameters())) for x in (loss, model.loss(batch)))
    torch.testing.assert_close(mine, truth, rtol=1e-12, atol=1e-12)


def test_windows_of_the_whole_past_add_up_to_full_bptt():
    """k2 as long as the stream: each chunk's gradient is exact, so those of all chunks sum to that of the whole."""
    model, batch = language_model(), stream(12)
    sums = summed_gradients(model, chunks(model, batch, 3, 12))
    truth = torch.autograd.grad(model.loss(batch).total, list(model.parameters()))
    torch.testing.assert_close(sums, list(truth), rtol=1e-9, atol=1e-12)


def test_a_state_is_its_leaves_and_its_form():
    model = language_model()
    model.train()
    _, state = model.advance(stream(5), None)
    again = tree_fill(model.start(None, 1), tree_leaves(state))
    torch.testing.assert_close(tree_leaves(again), tree_leaves(state))
    assert type(again[0]) is type(state[0])
