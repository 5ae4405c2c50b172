"""Layers over sequences: every cell, every length, both directions, stacked, pyramidal, learned starts."""

import pytest
import torch
from torch import nn

from models.interface import Padded
from models.layers.rnn_layer import Bidirectional, Fused, Unroll, concatenate_steps
from models.layers.rnn_stack import Recurrent, Stack, recurrent_layer
from models.search.state_pytree import select_rows, tree_map

torch.set_num_threads(1)

KINDS = {
    "elman": {"cell": "elman"},
    "relu": {"cell": "elman", "elman": {"nonlinearity": "relu"}},
    "clipped": {"cell": "elman", "elman": {"nonlinearity": "clipped_relu"}},
    "jordan": {"cell": "jordan"},
    "lstm": {"cell": "lstm"},
    "lstm-norm": {"cell": "lstm", "lstm": {"layer_norm": True}},
    "lstm-peep": {"cell": "lstm", "lstm": {"peepholes": True, "gate_recurrence": True}},
    "lstm-drop": {"cell": "lstm", "lstm": {"drop": 0.3}},
    "gru": {"cell": "gru"},
    "gru-inside": {"cell": "gru", "gru": {"reset": "inside", "layer_norm": True}},
    "transition": {"cell": "deep_transition", "transition": {"depth": 3, "shortcut": True, "output_depth": 1}},
    "echo": {"cell": "echo_state"},
    "zoneout": {"cell": "lstm", "zoneout": 0.2, "zoneout_cell": 0.4},
}
FUSED = {"elman", "relu", "lstm", "gru"}
LENGTHS = (7, 3, 1, 5)


def sequences(*lengths):
    torch.manual_seed(4)
    return [torch.randn(n, 6, dtype=torch.float64) for n in lengths]


def one(row):
    return Padded(row[None], torch.tensor([len(row)]))


def compare(found, truth):
    tree_map(lambda a, b: torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9), found, truth)


def made(kind, **options):
    torch.manual_seed(0)
    return Stack(Recurrent(hidden_size=5, **KINDS[kind], **options), 6).double().eval()


@pytest.mark.parametrize("both", [False, True], ids=["ahead", "both"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_length_in_both_directions(kind, both):
    """A littered batch is its sequences alone: outputs, states at each one's own end, and gradients."""
    net = made(kind, layers=2, bidirectional=both, learn_start=True)
    for value in net.parameters():
        nn.init.normal_(value, std=0.5)
    rows = sequences(*LENGTHS)
    x = Padded.stack(rows, fill=99.0)
    y, state = net(x)
    assert y.data.shape == (4, 7, 10 if both else 5)
    assert not y.data[~x.mask()].any()
    quick, _ = net(x, own_ends=False)
    torch.testing.assert_close(quick.data, y.data)
    total = 0.0
    for i, row in enumerate(rows):
        alone, ended = net(one(row))
        compare(y.data[i : i + 1, : len(row)], alone.data)
        compare(select_rows(state, torch.tensor([i])), ended)
        total = total + (alone.data**2).sum() + sum(leaf.sum() for leaf in leaves(ended))
    together = (y.data**2).sum() + sum(leaf.sum() for leaf in leaves(state))
    values = list(net.parameters())
    if values:
        mine, other = (torch.autograd.grad(loss, values) for loss in (together, total))
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


def leaves(state):
    found = []
    tree_map(lambda leaf: found.append(leaf) or leaf, state)
    return [leaf for leaf in found if leaf.requires_grad]


@pytest.mark.parametrize("kind", KINDS)
def test_the_backward_direction_is_the_reversed_sequence(kind):
    net = made(kind, bidirectional=True)
    (layer,) = net.layers
    assert isinstance(layer, Bidirectional)
    rows = sequences(*LENGTHS)
    y, (state,) = net(Padded.stack(rows, fill=99.0))
    for i, row in enumerate(rows):
        back, ended = layer.back(one(row.flip(0)))
        compare(y.data[i, : len(row), 5:], back.data[0].flip(0))
        compare(select_rows(state[1], torch.tensor([i])), ended)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_cuts_are_the_whole(kind):
    """Also for rows that end before the cut, or begin with nothing."""
    net = made(kind, layers=2, learn_start=True)
    rows = sequences(7, 3, 0, 5)
    x = Padded.stack(rows, fill=99.0)
    y, ended = net(x)
    state, parts = None, []
    for begin, end in ((0, 3), (3, 4), (4, 7)):
        part, state = net(Padded(x.data[:, begin:end], (x.lengths - begin).clamp(0, end - begin)), state)
        parts.append(part.data)
    compare((torch.cat(parts, 1), state), (y.data, ended))
    compare(tree_map(lambda leaf: leaf[2:3], ended), net.begin(1))
    state = net.begin(1)
    for t in range(7):
        step, state = net.step(rows[0][t : t + 1], state)
        compare(step, y.data[:1, t])
    compare(state, tree_map(lambda leaf: leaf[:1], ended))
    nothing, same = net(Padded(x.data[:, :0], torch.zeros(4, dtype=torch.long)), ended)
    assert nothing.data.shape == (4, 0, 5)
    compare(same, ended)


@pytest.mark.parametrize("kind", sorted(FUSED))
def test_the_fused_kernel_is_the_cell(kind):
    """The same weights in torch's kernel and in the cell of models/cells."""
    from models.layers.rnn_stack import CELLS, OPTIONS

    torch.manual_seed(0)
    config = Recurrent(hidden_size=5, **KINDS[kind])
    fused = recurrent_layer(config, 6).double()
    assert isinstance(fused, Fused)
    cell = CELLS[config.cell](getattr(config, OPTIONS[config.cell]), 6, 5).double()
    cell.load_state_dict({name.removesuffix("_l0"): w for name, w in fused.kernel.state_dict().items()})
    x = Padded.stack(sequences(*LENGTHS))
    found, truth = fused(x), Unroll(cell)(x)
    compare((found[0].data, found[1]), (truth[0].data, truth[1]))


def test_what_torch_has_not_is_unrolled():
    for kind in KINDS.keys() - FUSED:
        assert isinstance(recurrent_layer(Recurrent(**KINDS[kind]), 6), Unroll), kind


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"echo"}))
def test_a_learned_start_learns(kind):
    """It begins at zero, as without; its gradient is that by the state that it stands for."""
    net, plain = made(kind, learn_start=True), made(kind)
    plain.load_state_dict(net.state_dict(), strict=False)
    x = Padded.stack(sequences(*LENGTHS))
    torch.testing.assert_close(net(x)[0].data, plain(x)[0].data)
    start = list(net.layers[0].start)
    state = tree_map(lambda leaf: leaf.detach().requires_grad_(), plain.begin(4))
    grads = torch.autograd.grad((net(x)[0].data ** 2).sum(), start)
    given = [leaf for leaf in state[0][: len(start)]]
    truth = torch.autograd.grad((plain(x, state)[0].data ** 2).sum(), given)
    for found, by_row in zip(grads, truth, strict=True):
        assert found.any()
        torch.testing.assert_close(found, by_row.sum(0, keepdim=True))


def test_the_pyramid():
    """Layers above the first read two steps at once; the lengths are the ceilings."""
    net = made("lstm", layers=3, pyramid=2)
    rows = sequences(7, 3, 1, 4)
    y, _ = net(Padded.stack(rows, fill=99.0))
    assert y.data.shape == (4, 2, 5)
    assert y.lengths.tolist() == [2, 1, 1, 1]
    for i, row in enumerate(rows):
        torch.testing.assert_close(net(one(row))[0].data[0], y.data[i, : y.lengths[i]])
    pairs = concatenate_steps(Padded.stack(rows, fill=99.0), 2)
    torch.testing.assert_close(pairs.data[0, 1], torch.cat((rows[0][2], rows[0][3])))
    torch.testing.assert_close(pairs.data[1, 1], torch.cat((rows[1][2], torch.zeros(6))), check_dtype=False)
    for options in ({"pyramid": 2}, {"bidirectional": True}):
        with pytest.raises(ValueError, match="single steps"):
            made("lstm", layers=2, **options).step(torch.zeros(1, 6).double(), None)


def test_dropout_is_between_layers():
    torch.manual_seed(0)
    net = made("gru", layers=2, dropout=0.5).train()
    x = Padded.stack(sequences(7))
    below = [net.layers[0](x)[0].data for _ in range(2)]
    above = [net(x)[0].data for _ in range(2)]
    torch.testing.assert_close(*below)
    assert not torch.allclose(*above)


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_a_bidirectional_first_layer_and_residuals(merge):
    """Layer by layer: two directions, one, and from the third on each with its input added; steps of what streams."""
    torch.manual_seed(2)
    options = {"layers": 4, "hidden_size": 5, "bidirectional_first": True, "residual": 3, "merge": merge}
    stack = Stack(Recurrent(**options), 6).double()
    x = Padded.stack(sequences(*LENGTHS))
    h, _ = stack.layers[0](x)
    assert h.data.shape[2] == (10 if merge == "concat" else 5)
    h, _ = stack.layers[1](h)
    for layer in stack.layers[2:]:
        h = Padded(h.data + layer(h)[0].data, h.lengths)
    y, _ = stack(x)
    assert y.data.shape[2] == stack.output_size == 5
    torch.testing.assert_close(y.data, h.data, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="no single steps"):
        stack.step(x.data[:, 0], stack.begin(4))
    ahead = Stack(Recurrent(layers=3, hidden_size=5, residual=2), 6).double()
    y, _ = ahead(x)
    state = ahead.begin(4)
    for t in range(7):
        told, state = ahead.step(x.data[:, t], state)
        real = x.lengths > t
        torch.testing.assert_close(told[real], y.data[real, t], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 3, "bidirectional_first": True, "residual": 2}, "3 to 3"),
        ({"layers": 3, "residual": 1}, "2 to 3"),
        ({"layers": 3, "residual": 4}, "2 to 3"),
        ({"layers": 3, "residual": 2, "pyramid": 2}, "pyramid=1"),
        ({"layers": 1, "bidirectional_first": True}, "several layers"),
        ({"layers": 2, "bidirectional_first": True, "bidirectional": True}, "several layers"),
    ],
)
def test_layers_that_cannot_be_added_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(**options)
