"""Elman, Jordan, GRU and deep transitions against torch's cells, and against their equations written out."""

import pytest
import torch
from torch import nn

from models.cells import deep_transition, elman_jordan, gru
from models.cells.elman_jordan import RNNState
from models.cells.step_loop import scan_steps

torch.set_num_threads(1)


def some(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_elman_is_torch_s(nonlinearity):
    torch.manual_seed(0)
    check_equal(
        elman_jordan.Elman(elman_jordan.Config(nonlinearity=nonlinearity), 3, 5),
        nn.RNNCell(3, 5, nonlinearity=nonlinearity),
    )


def test_activation_clipping():
    """Hannun et al. 2014: an unbounded recurrence stays in [0, 20], and is relu's below 20."""
    torch.manual_seed(0)
    clipped = elman_jordan.Elman(elman_jordan.Config(nonlinearity="clipped_relu"), 3, 5).double()
    plain = elman_jordan.Elman(elman_jordan.Config(nonlinearity="relu"), 3, 5).double()
    plain.load_state_dict(clipped.state_dict())
    x, h = some(400, 3) * 30, RNNState(some(400, 5))
    y, truth = clipped(x, h)[0], plain(x, h)[0]
    assert (truth > 20).any()
    torch.testing.assert_close(y, truth.clamp(max=20))


def test_gru_is_torch_s():
    torch.manual_seed(0)
    check_equal(gru.GRU(gru.Config(), 3, 5), nn.GRUCell(3, 5))


def check_equal(ours, theirs):
    """Outputs and gradients; the parameters have the same names and layout."""
    ours, theirs = ours.double(), theirs.double()
    theirs.load_state_dict(ours.state_dict())
    x, h = some(4, 3).requires_grad_(), some(4, 5).requires_grad_()
    y, state = ours(x, RNNState(h))
    truth = theirs(x, h)
    assert y is state.h
    torch.testing.assert_close(y, truth, rtol=1e-12, atol=1e-12)
    weights = some(4, 5)
    mine = torch.autograd.grad((y * weights).sum(), [x, h, *ours.parameters()])
    other = torch.autograd.grad((truth * weights).sum(), [x, h, *theirs.parameters()])
    torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_jordan_remembers_only_its_output():
    torch.manual_seed(0)
    cell = elman_jordan.Jordan(elman_jordan.Config(), 3, 5).double()
    x, y = some(4, 3), some(4, 5)
    h = torch.tanh(x @ cell.weight_ih.T + y @ cell.weight_hh.T + cell.bias_ih)
    torch.testing.assert_close(cell(x, RNNState(y))[0], torch.tanh(h @ cell.weight_out.T + cell.bias_out))


def gru_by_hand(cell, x, h, *, inside, norm):
    size = h.shape[1]
    w_r, w_z, w_n = cell.weight_ih.split(size)
    u_r, u_z, u_n = cell.weight_hh.split(size)
    b_r, b_z, b_n = cell.bias_ih.split(size)
    c_r, c_z, c_n = cell.bias_hh.split(size)
    wx = norm("gates_ih", torch.cat((x @ w_r.T, x @ w_z.T), 1))
    uh = norm("gates_hh", torch.cat((h @ u_r.T, h @ u_z.T), 1))
    r = torch.sigmoid(wx[:, :size] + uh[:, :size] + b_r + c_r)
    z = torch.sigmoid(wx[:, size:] + uh[:, size:] + b_z + c_z)
    acted_on = norm("unit_hh", (r * h) @ u_n.T), norm("unit_hh", h @ u_n.T)
    back = acted_on[0] + c_n if inside else r * (acted_on[1] + c_n)
    n = torch.tanh(norm("unit_ih", x @ w_n.T) + b_n + back)
    return z * h + (1 - z) * n


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("reset", ["inside", "outside"])
def test_gru_s_equations(reset, layer_norm):
    torch.manual_seed(0)
    cell = gru.GRU(gru.Config(reset=reset, layer_norm=layer_norm), 3, 5).double()
    for name, value in cell.named_parameters():
        nn.init.normal_(value, mean=1.0 if "norms" in name else 0.0)

    def norm(name, product):
        if not layer_norm:
            return product
        centered = product - product.mean(1, keepdim=True)
        return cell.norms[name].weight * centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()

    x, h = some(4, 3), some(4, 5)
    truth = gru_by_hand(cell, x, h, inside=reset == "inside", norm=norm)
    torch.testing.assert_close(cell(x, RNNState(h))[0], truth)


@pytest.mark.parametrize("reset", ["inside", "outside"])
def test_gru_s_gates(reset):
    """Z = 1 keeps the state exactly; Z = 0 and R = 1 make it Elman's; R = 0 forgets."""
    torch.manual_seed(0)
    cell = gru.GRU(gru.Config(reset=reset), 3, 5).double()
    x, h = some(4, 3), some(4, 5)
    r, z, n = (cell.bias_ih.data[5 * k : 5 * k + 5] for k in range(3))
    cell.bias_hh.data.zero_()
    z.fill_(1e4)
    assert torch.equal(cell(x, RNNState(h))[0], h)
    z.fill_(-1e4)
    r.fill_(1e4)
    plain = torch.tanh(x @ cell.weight_ih[10:].T + n + h @ cell.weight_hh[10:].T)
    torch.testing.assert_close(cell(x, RNNState(h))[0], plain)
    r.fill_(-1e4)
    torch.testing.assert_close(cell(x, RNNState(h))[0], torch.tanh(x @ cell.weight_ih[10:].T + n))


def test_the_irnn_copies_by_default():
    """Le et al. 2015: at first, with a zero input and a state of relu's range, nothing changes."""
    from models.layers.rnn_stack import Recurrent, recurrent_layer

    options = {"initialize": {"recurrent": "identity", "bias": "zero"}, "elman": {"nonlinearity": "relu"}}
    layer = recurrent_layer(Recurrent(cell="elman", hidden_size=5, **options), 3)
    h = torch.rand(4, 5)
    state = RNNState(h)
    for _ in range(50):
        y, state = layer.step(torch.zeros(4, 3), state)
    assert torch.equal(y, h)


def transition_by_hand(cell, config, x, h):
    f = torch.tanh if config.nonlinearity == "tanh" else torch.relu
    z = f(h @ cell.weight_hh.T + x @ cell.weight_ih.T + cell.bias_ih)
    for depth, (weight, bias) in enumerate(zip(cell.weight_hh_deep, cell.bias_hh_deep, strict=True), 2):
        short = h @ cell.weight_hh_short.T if config.shortcut and depth == config.depth else 0
        z = f(z @ weight.T + bias + short)
    y = z
    for layer in cell.output:
        y = f(y @ layer.weight.T + layer.bias)
    return y, z


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 2},
        {"depth": 3, "nonlinearity": "relu"},
        {"depth": 3, "shortcut": True},
        {"depth": 2, "output_depth": 2},
        {"depth": 2, "shortcut": True, "output_depth": 1},
    ],
    ids=["DT", "DT-relu", "DT(S)", "DOT", "DOT(S)"],
)
def test_deep_transitions(options):
    torch.manual_seed(0)
    config = deep_transition.Config(**options)
    cell = deep_transition.DeepTransition(config, 3, 5).double()
    x, h = some(4, 3), some(4, 5)
    y, state = cell(x, RNNState(h))
    torch.testing.assert_close((y, state.h), transition_by_hand(cell, config, x, h))
    steps = some(6, 4, 3)
    states = cell.scan(cell.drive(steps), RNNState(h))
    state = RNNState(h)
    for t in range(6):
        y, state = cell(steps[t], state)
        torch.testing.assert_close(cell.read(states)[t], y)  # read of all steps at once


def test_a_transition_of_one_layer_is_elman_s():
    torch.manual_seed(0)
    deep = deep_transition.DeepTransition(deep_transition.Config(depth=1), 3, 5)
    plain = elman_jordan.Elman(elman_jordan.Config(), 3, 5)
    plain.load_state_dict(deep.state_dict() | {"bias_hh": torch.zeros(5)})
    x, h = torch.randn(4, 3), torch.randn(4, 5)
    torch.testing.assert_close(deep(x, RNNState(h)), plain(x, RNNState(h)))


def test_a_scan_is_its_steps():
    seen = scan_steps(lambda driven, state: (state[0] + driven, None), torch.ones(4, 2, 3), (torch.zeros(2, 3), None))
    torch.testing.assert_close(seen[0], torch.arange(1.0, 5)[:, None, None].expand(4, 2, 3))
    assert seen[1] is None
