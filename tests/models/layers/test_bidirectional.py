"""The layers against torch's own on packed sequences, and against the equations step by step."""

import pytest
import torch
from torch import nn

from models.interface import Padded
from models.layers.bidirectional import CLIP, PlainBidirectional, bidirectional, clipped_recurrence
from models.layers.sequence_norm import SequenceNorm

torch.set_num_threads(1)

LENGTHS = (7, 3, 1, 5)


def sequences(*features):
    torch.manual_seed(4)
    return [torch.randn(n, *features, dtype=torch.float64) for n in LENGTHS]


def littered(rows):
    """A padded batch whose padding would show if it were read."""
    x = Padded.stack(rows, fill=99.0)
    return Padded(x.data.requires_grad_(), x.lengths)


@pytest.mark.parametrize("features", [(6,), (6, 4)])
def test_sequence_norm_is_batch_norm_of_the_real_steps(features):
    rows = sequences(*features)
    ours, theirs = SequenceNorm(6).double(), nn.BatchNorm1d(6).double()
    for module in (ours.norm, theirs):
        nn.init.uniform_(module.weight, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(module.bias, generator=torch.Generator().manual_seed(2))
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = littered(rows)
        together = torch.cat(rows).requires_grad_()
        y, truth = ours(x), theirs(together)
        torch.testing.assert_close(y.data[x.mask()], truth)
        assert not y.data[~x.mask()].any()
        y.data.square().sum().backward()
        truth.square().sum().backward()
        torch.testing.assert_close(x.data.grad[x.mask()], together.grad)
        assert not x.data.grad[~x.mask()].any()
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)


def test_a_lone_step_is_normalised_by_the_running_statistics():
    norm = SequenceNorm(3).train()
    y = norm(Padded(torch.ones(1, 1, 3), torch.tensor([1])))
    torch.testing.assert_close(y.data, torch.ones(1, 1, 3), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("merge", ["sum", "concat"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_fused_layer_equals_the_packed_sequence(cell, merge):
    layer = bidirectional(cell, 6, 5, merge).double().eval()
    packed = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](6, 5, batch_first=True, bidirectional=True).double()
    for name, weight in layer.ahead.named_parameters():
        getattr(packed, name).data = weight.data
        getattr(packed, f"{name}_reverse").data = dict(layer.back.named_parameters())[name].data
    x, clean = littered(sequences(6)), Padded.stack(sequences(6))
    clean.data.requires_grad_()
    truth, _ = packed(
        nn.utils.rnn.pack_padded_sequence(
            clean.data / (1 + layer.norm.norm.eps) ** 0.5, clean.lengths, batch_first=True, enforce_sorted=False
        )
    )
    truth, _ = nn.utils.rnn.pad_packed_sequence(truth, batch_first=True)
    if merge == "sum":
        truth = truth[..., :5] + truth[..., 5:]
    y = layer(x)
    torch.testing.assert_close(y.data, truth)
    weights = torch.randn(truth.shape, dtype=torch.float64)
    (y.data * weights).sum().backward()
    (truth * weights).sum().backward()
    torch.testing.assert_close(x.data.grad, clean.data.grad)
    torch.testing.assert_close(layer.back.weight_hh_l0.grad, packed.weight_hh_l0_reverse.grad)


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_plain_layer_equals_its_equations(merge):
    layer = PlainBidirectional(6, 5, merge).double().train()
    layer.recurrence.data.mul_(3)  # states beyond the first few must matter
    x = littered(sequences(6))
    y = layer(x)
    products = torch.cat(sequences(6)) @ layer.product.weight.T
    z = (products - products.mean(0)) / (products.var(0, correction=0) + layer.norm.norm.eps).sqrt()
    for i, row in enumerate(z.split(LENGTHS)):
        ahead, back = unrolled(row, layer.recurrence[0]), unrolled(row.flip(0), layer.recurrence[1]).flip(0)
        truth = ahead + back if merge == "sum" else torch.cat((ahead, back), -1)
        torch.testing.assert_close(y.data[i, : LENGTHS[i]], truth)
        assert not y.data[i, LENGTHS[i] :].any()


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_gated_layer_equals_torch_s_gru(merge):
    """Of each direction on its own, fed with the normalised product."""
    layer = bidirectional("shared_gru", 6, 5, merge).double().train()
    layer.recurrence.data.mul_(3)
    x = littered(sequences(6))
    y = layer(x)
    products = torch.cat(sequences(6)) @ layer.product.weight.T
    z = (products - products.mean(0)) / (products.var(0, correction=0) + layer.norm.norm.eps).sqrt()
    cells = [nn.GRU(15, 5, bias=False, batch_first=True).double() for _ in range(2)]
    for cell, weight in zip(cells, layer.recurrence, strict=True):
        cell.weight_ih_l0.data, cell.weight_hh_l0.data = torch.eye(15).double(), weight.data.T
    for i, row in enumerate(z.split(LENGTHS)):
        ahead, back = cells[0](row[None])[0][0], cells[1](row.flip(0)[None])[0][0].flip(0)
        truth = ahead + back if merge == "sum" else torch.cat((ahead, back), -1)
        torch.testing.assert_close(y.data[i, : LENGTHS[i]], truth)
        assert not y.data[i, LENGTHS[i] :].any()


def unrolled(inputs, weight):
    h, states = torch.zeros(inputs.shape[-1], dtype=inputs.dtype), []
    for z in inputs:
        h = (z + h @ weight).clamp(0, CLIP)
        states.append(h)
    return torch.stack(states)


def test_the_hand_written_gradient():
    torch.manual_seed(6)
    inputs = torch.randn(2, 5, 3, 4, dtype=torch.float64) * 8
    inputs[0, 1, 0] = 30  # beyond the clip
    inputs.requires_grad_()
    weight = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert (clipped_recurrence(inputs, weight) == CLIP).any()
    assert torch.autograd.gradcheck(clipped_recurrence, (inputs, weight))


@pytest.mark.parametrize("cell", ["rnn", "shared_gru", "gru", "lstm"])
def test_gradients_of_every_cell(cell):
    torch.manual_seed(8)
    layer = bidirectional(cell, 3, 2, "sum").double()
    x = Padded.stack(sequences(3))
    x.data.requires_grad_()
    assert torch.autograd.gradcheck(lambda data: layer(Padded(data, x.lengths)).data, x.data)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="cell is one of"):
        bidirectional("tanh", 3, 2, "sum")
    with pytest.raises(ValueError, match="merge is"):
        bidirectional("gru", 3, 2, "mean")
