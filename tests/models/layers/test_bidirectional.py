"""Recurrent layers that normalize or share their input: against torch's own on packed sequences, and step by step."""

import pytest
import torch
from padded_sequences import LENGTHS, littered, sequences
from torch import nn

from models.cells.clipped_relu import CLIP, scan_clipped
from models.cells.gru import scan_gru
from models.interface import Padded
from models.layers.rnn_stack import CELLS, OPTIONS, Recurrent, Stack, recurrent_layer
from models.layers.sequence_norm import SequenceNorm
from models.search.state_pytree import tree_map

torch.set_num_threads(1)


KINDS = {
    "elman": {"cell": "elman"},
    "clipped": {"cell": "elman", "elman": {"nonlinearity": "clipped_relu"}},
    "jordan": {"cell": "jordan"},
    "gru": {"cell": "gru"},
    "gru-inside": {"cell": "gru", "gru": {"reset": "inside"}},
    "gru-norm": {"cell": "gru", "gru": {"layer_norm": True}},
    "lstm": {"cell": "lstm"},
    "lstm-norm": {"cell": "lstm", "lstm": {"layer_norm": True}},
    "lstm-peep": {"cell": "lstm", "lstm": {"peepholes": True, "gate_recurrence": True}},
    "lstm-coupled": {"cell": "lstm", "lstm": {"coupled": True, "peepholes": True}},
    "transition": {"cell": "deep_transition", "transition": {"depth": 3, "shortcut": True, "output_depth": 1}},
    "zoneout": {"cell": "lstm", "zoneout": 0.2, "zoneout_cell": 0.4},
    "gru-zoneout": {"cell": "gru", "zoneout": 0.2},
}
JOINT = {"clipped": scan_clipped, "gru": scan_gru}
FORMS = {
    "input": {"norm": "input"},
    "shared": {"share_input": True},
    "product": {"norm": "product"},
    "shared product": {"norm": "product", "share_input": True},
    "both": {"norm": "input", "share_input": True},
}


def made(kind, size=5, **options):
    torch.manual_seed(0)
    config = Recurrent(hidden_size=size, **({"bidirectional": True} | KINDS[kind] | options))
    layer = recurrent_layer(config, 6).double()
    for name, value in layer.named_parameters():
        if "weight_hh" in name:
            value.data.mul_(2)  # states beyond the first few must matter
    return layer


def normalized(rows, norm):
    """All steps of all rows, normalized by their own mean and variance."""
    together = torch.cat(rows)
    z = (together - together.mean(0)) / (together.var(0, correction=0) + norm.norm.eps).sqrt()
    return (z * norm.norm.weight + norm.norm.bias).split([len(row) for row in rows])


def one_by_one(layer, rows, backwards):
    """The outputs (T, H) of one direction for each row, a step at a time, from x to h."""
    if hasattr(layer, "transform"):
        return one_by_one(layer.layer, transformed(layer.transform, rows), backwards)
    found = []
    for row in rows:
        state, outputs = layer.begin(1), []
        for x in row.flip(0) if backwards else row:
            y, state = layer.step(x[None], state)
            outputs.append(y)
        outputs = torch.cat(outputs)
        found.append(outputs.flip(0) if backwards else outputs)
    return found


def transformed(transform, rows):
    if isinstance(transform, SequenceNorm):
        return normalized(rows, transform)
    if transform.norm is None:
        return [row @ transform.weight_ih.T + transform.bias_ih for row in rows]
    return normalized([row @ transform.weight_ih.T for row in rows], transform.norm)


@pytest.mark.parametrize("merge", ["sum", "concat"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_equals_its_equations_a_step_at_a_time(kind, form, merge):
    """Forward and backward, with the statistics of the real steps of the batch."""
    layer = made(kind, merge=merge, **FORMS[form])
    for part in layer.modules():
        part.training = isinstance(part, SequenceNorm | nn.BatchNorm1d)  # ZoneOut as at evaluation: nothing is drawn
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.weight, 0.5, 2.0), nn.init.normal_(part.bias)
    x = littered(sequences(6))
    y, _ = layer(x)
    clean = [row.requires_grad_() for row in sequences(6)]
    inner, rows = layer, clean
    while hasattr(inner, "transform"):
        inner, rows = inner.layer, transformed(inner.transform, rows)
    ahead, back = one_by_one(inner.ahead, rows, False), one_by_one(inner.back, rows, True)
    truth = [a + b if merge == "sum" else torch.cat((a, b), -1) for a, b in zip(ahead, back, strict=True)]
    assert not y.data[~x.mask()].any()
    torch.testing.assert_close(y.data[x.mask()], torch.cat(truth), rtol=1e-9, atol=1e-9)
    weights = torch.randn(len(torch.cat(truth)), truth[0].shape[1], dtype=torch.float64)
    values = list(layer.parameters())
    mine = torch.autograd.grad((y.data[x.mask()] * weights).sum(), [x.data, *values])
    told = torch.autograd.grad((torch.cat(truth) * weights).sum(), [*clean, *values])
    torch.testing.assert_close(mine[0][x.mask()], torch.cat(told[: len(clean)]), rtol=1e-8, atol=1e-9)
    for found, expected in zip(mine[1:], told[len(clean) :], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"lstm-norm", "gru-norm"}))
def test_a_shared_product_is_that_of_a_cell_with_these_weights(kind):
    """W x + b of the layer and a driven cell are the cell itself, whose recurrent bias is then 0."""
    layer = made(kind, share_input=True).eval()
    config = layer_config = Recurrent(hidden_size=5, **KINDS[kind])
    own = CELLS[config.cell](getattr(layer_config, OPTIONS[config.cell]), 6, 5).double().eval()
    driven = layer.layer.ahead.cell
    driven = driven.cell if config.zoneout else driven
    weights = driven.state_dict() | {n: getattr(layer.transform, n) for n in ("weight_ih", "bias_ih")}
    left = own.load_state_dict(weights, strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= {"bias_hh"}
    if own.state_dict().keys() & {"bias_hh"}:
        own.bias_hh.data.zero_()
    (row,) = [row[None] for row in sequences(6)[:1]]
    state = own.begin(1)
    y, _ = own(row[:, 0], state)
    found, _ = driven(layer.transform(Padded(row, torch.tensor([7]))).data[:, 0], state)
    torch.testing.assert_close(found, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("merge", ["sum", "concat"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_fused_layer_equals_the_packed_sequence(cell, merge):
    layer = made(cell, merge=merge, norm="input").eval()
    packed = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](6, 5, batch_first=True, bidirectional=True).double()
    both = layer.layer
    for name, weight in both.ahead.kernel.named_parameters():
        getattr(packed, name).data = weight.data
        getattr(packed, f"{name}_reverse").data = dict(both.back.kernel.named_parameters())[name].data
    x, clean = littered(sequences(6)), Padded.stack(sequences(6))
    clean.data.requires_grad_()
    truth, _ = packed(
        nn.utils.rnn.pack_padded_sequence(
            clean.data / (1 + layer.transform.norm.eps) ** 0.5, clean.lengths, batch_first=True, enforce_sorted=False
        )
    )
    truth, _ = nn.utils.rnn.pad_packed_sequence(truth, batch_first=True)
    if merge == "sum":
        truth = truth[..., :5] + truth[..., 5:]
    y, _ = layer(x, own_ends=False)
    torch.testing.assert_close(y.data, truth)
    weights = torch.randn(truth.shape, dtype=torch.float64)
    (y.data * weights).sum().backward()
    (truth * weights).sum().backward()
    torch.testing.assert_close(x.data.grad, clean.data.grad)
    torch.testing.assert_close(both.back.kernel.weight_hh_l0.grad, packed.weight_hh_l0_reverse.grad)


def test_the_shared_gru_is_torch_s_without_its_second_bias():
    """Of each direction on its own, fed with the normalized product."""
    layer = made("gru", norm="product", share_input=True).train()
    y, _ = layer(littered(sequences(6)))
    z = transformed(layer.transform, sequences(6))
    cells = [nn.GRU(15, 5, bias=False, batch_first=True).double() for _ in range(2)]
    for cell, ours in zip(cells, (layer.layer.ahead.cell, layer.layer.back.cell), strict=True):
        cell.weight_ih_l0.data, cell.weight_hh_l0.data = torch.eye(15).double(), ours.weight_hh.data
    for i, row in enumerate(z):
        ahead, back = cells[0](row[None])[0][0], cells[1](row.flip(0)[None])[0][0].flip(0)
        torch.testing.assert_close(y.data[i, : LENGTHS[i]], torch.cat((ahead, back), -1))


@pytest.mark.parametrize("kind", JOINT)
def test_both_directions_in_one_scan_are_each_on_its_own(kind):
    """Also from a state, and with the states at each row's own end; a batch without steps keeps its state."""
    both = made(kind, share_input=True).layer
    assert both.scan is JOINT[kind]
    torch.manual_seed(2)
    size = 15 if kind == "gru" else 5
    x = Padded(torch.randn(4, 7, size, dtype=torch.float64), torch.tensor([7, 3, 0, 5]))
    state = tree_map(torch.rand_like, both.begin(4))
    together, ended = both(x, state)
    both.scan = None
    alone, truth = both(x, state)
    torch.testing.assert_close(together.data, alone.data)
    tree_map(torch.testing.assert_close, ended, truth)
    both.scan = JOINT[kind]
    nothing, same = both(Padded(x.data[:, :0], torch.zeros(4, dtype=torch.long)), state)
    assert nothing.data.shape == (4, 0, 10)
    tree_map(torch.testing.assert_close, same, state)


def test_what_has_no_joint_scan_is_scanned_twice():
    for kind in KINDS.keys() - JOINT.keys():
        assert made(kind, share_input=True).layer.scan is None, kind
    assert made("clipped", norm="product").scan is None  # each direction makes its own product
    assert recurrent_layer(Recurrent(bidirectional=True, cell="gru"), 6).scan is None  # torch's kernel


def test_the_hand_written_gradient():
    torch.manual_seed(6)
    driven = torch.randn(2, 5, 3, 4, dtype=torch.float64) * 8
    driven[0, 1, 0] = 30  # beyond the clip
    weight, h = torch.randn(2, 4, 4, dtype=torch.float64), torch.rand(2, 3, 4, dtype=torch.float64)
    arguments = [value.requires_grad_() for value in (driven, weight, h)]
    states = scan_clipped(*arguments)
    assert (states == CLIP).any()
    truth, now = [], h
    for t in range(5):
        now = (driven[:, t] + now @ weight.transpose(1, 2)).clamp(0, CLIP)
        truth.append(now)
    torch.testing.assert_close(states, torch.stack(truth, 1))
    assert torch.autograd.gradcheck(scan_clipped, arguments)


@pytest.mark.parametrize("norm", ["input", "product"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_normalized_direction_goes_step_by_step(kind, norm):
    """At evaluation a normalization is a fixed affine map: a stack of them still streams."""
    torch.manual_seed(0)
    net = Stack(Recurrent(layers=2, hidden_size=5, norm=norm, **KINDS[kind]), 6).double()
    rows = sequences(6)
    net(Padded.stack(rows))  # its running statistics
    net.eval()
    y, ended = net(Padded.stack(rows[:1]))
    state = net.begin(1)
    for t, x in enumerate(rows[0]):
        step, state = net.step(x[None], state)
        torch.testing.assert_close(step, y.data[:, t], rtol=1e-9, atol=1e-9)
    tree_map(torch.testing.assert_close, state, ended)


@pytest.mark.parametrize("share_input", [False, True])
def test_the_forget_bias_of_a_driven_lstm(share_input):
    """Wherever the bias is: in the normalization or beside the product."""
    for norm, peepholes in (("product", False), ("none", True)):
        if norm == "none" and not share_input:
            continue
        options = {"lstm": {"forget_bias": 1.5, "peepholes": peepholes}, "norm": norm, "share_input": share_input}
        layer = recurrent_layer(Recurrent(hidden_size=5, bidirectional=True, **options), 6)
        product = layer.transform if share_input else layer.ahead.transform
        assert product.bias[5:10].tolist() == [1.5] * 5
        assert not (product.bias[10:] == 1.5).any()


def test_the_product_begins_as_initialize_says():
    torch.manual_seed(0)
    how = {"input": "orthogonal", "input_scale": 2.0, "recurrent": "identity"}
    layer = made("clipped", share_input=True, initialize=how)
    w = layer.transform.weight_ih
    torch.testing.assert_close(w @ w.T, 4 * torch.eye(5).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.layer.back.cell.weight_hh.data, 2 * torch.eye(5).double())  # made doubles it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"merge": "mean"}, "merge is one of concat, sum"),
        ({"norm": "batch"}, "norm is one of none, input, product"),
        ({"merge": "sum"}, "merge is for two directions"),
        ({"share_input": True}, "share_input is for two directions"),
        ({"cell": "echo_state", "norm": "product"}, "an echo state's is fixed"),
        ({"norm": "product", "initialize": {"bias": "zero"}}, "the bias is the normalization's"),
        ({"norm": "product", "projection": 3}, "projection is for the plain lstm"),
    ],
)
def test_inputs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recurrent(**options)
