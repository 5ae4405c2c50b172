"""The LSTM: torch's cell, every variant of Greff et al. written out, its gates, and its back-propagation by hand."""

import pytest
import torch
from torch import nn

from models.cells.lstm import LSTM, Config, LSTMState
from models.cells.lstm_bptt import scan_lstm
from models.cells.step_loop import scan_steps

torch.set_num_threads(1)

GREFF = {
    "V": {},
    "NIG": {"input_gate": False},
    "NFG": {"forget_gate": False},
    "NOG": {"output_gate": False},
    "NIAF": {"input_activation": False},
    "NOAF": {"output_activation": False},
    "NP": {"peepholes": False},
    "CIFG": {"coupled": True},
    "FGR": {"gate_recurrence": True},
}


def some(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def by_hand(cell, x, state):
    """The equations with each of the matrices apart, Greff et al. 2017, sections II and V."""
    config, size = cell.config, cell.output_size
    place = {name: slice(k * size, (k + 1) * size) for k, name in enumerate(config.rows)}
    peep = {name: p for name, p in zip(config.gates, cell.peepholes, strict=True)} if config.peepholes else {}

    def normed(product, gain):
        if not config.layer_norm:
            return product
        centered = product - product.mean(1, keepdim=True)
        return gain.weight * centered / (centered.square().mean(1, keepdim=True) + 1e-5).sqrt()

    bias = cell.bias_ih if cell.bias_hh is None else cell.bias_ih + cell.bias_hh
    ln = config.layer_norm
    sums = normed(x @ cell.weight_ih.T, ln and cell.norm_ih) + normed(state.h @ cell.weight_hh.T, ln and cell.norm_hh)
    sums = sums + bias

    def gate(name, c):
        if name not in place:
            return torch.ones_like(c)
        z = sums[:, place[name]]
        if name in peep:
            z = z + peep[name] * c
        if config.gate_recurrence:
            k = "ifo".index(name) * size
            z = z + state.gates @ cell.weight_gg[k : k + size].T
        return torch.sigmoid(z)

    i = gate("i", state.c)
    f = 1 - i if config.coupled else gate("f", state.c)
    n = sums[:, place["n"]]
    c = f * state.c + i * (torch.tanh(n) if config.input_activation else n)
    o = gate("o", c)
    shown = normed(c, cell.norm_c) + cell.norm_c.bias if config.layer_norm else c
    return o * (torch.tanh(shown) if config.output_activation else shown), c, torch.cat((i, f, o), 1)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("name", GREFF)
def test_every_variant_s_equations(name, layer_norm):
    torch.manual_seed(0)
    config = Config(**({"peepholes": True, "layer_norm": layer_norm} | GREFF[name]))
    cell = LSTM(config, 3, 5).double()
    for value in cell.parameters():
        nn.init.normal_(value)
    state = LSTMState(some(4, 5), some(4, 5), torch.rand(4, 15).double() if config.gate_recurrence else None)
    for _ in range(3):
        x = some(4, 3)
        h, c, gates = by_hand(cell, x, state)
        y, state = cell(x, state)
        assert y is state.h
        torch.testing.assert_close((state.h, state.c), (h, c), rtol=1e-12, atol=1e-12)
        if config.gate_recurrence:
            torch.testing.assert_close(state.gates, gates, rtol=1e-12, atol=1e-12)
        else:
            assert state.gates is None


def test_parameters_of_the_variants():
    """What each leaves out or adds: rows of 3 + 5 + 2 numbers for each of 5 units (W, R, two biases), and peepholes."""
    row, counts = 5 * (3 + 5 + 2), {}
    for name, options in GREFF.items():
        cell = LSTM(Config(**({"peepholes": True} | options)), 3, 5)
        counts[name] = sum(p.numel() for p in cell.parameters())
    full = 4 * row + 3 * 5
    less = row + 5
    assert counts == {
        "V": full,
        "NIG": full - less,
        "NFG": full - less,
        "NOG": full - less,
        "NIAF": full,
        "NOAF": full,
        "NP": full - 15,
        "CIFG": full - less,
        "FGR": full + 9 * 25,
    }


def test_it_is_torch_s():
    torch.manual_seed(0)
    ours, theirs = LSTM(Config(), 3, 5).double(), nn.LSTMCell(3, 5).double()
    theirs.load_state_dict(ours.state_dict())
    x, h, c = some(4, 3).requires_grad_(), some(4, 5).requires_grad_(), some(4, 5).requires_grad_()
    _, state = ours(x, LSTMState(h, c))
    truth = theirs(x, (h, c))
    torch.testing.assert_close((state.h, state.c), truth, rtol=1e-12, atol=1e-12)
    weights = some(2, 4, 5)
    mine = torch.autograd.grad((torch.stack(state[:2]) * weights).sum(), [x, h, c, *ours.parameters()])
    other = torch.autograd.grad((torch.stack(truth) * weights).sum(), [x, h, c, *theirs.parameters()])
    torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_the_constant_error_carrousel():
    """F = 1 and I = 0 keep the cell exactly, whatever comes in; F = 0 and I = 1 replace it."""
    torch.manual_seed(0)
    cell = LSTM(Config(), 3, 5).double()
    i, f, n, _ = (cell.bias_ih.data[5 * k : 5 * k + 5] for k in range(4))
    state = first = LSTMState(some(4, 5), some(4, 5))
    i.fill_(-1e4), f.fill_(1e4)
    for _ in range(100):
        _, state = cell(some(4, 3), state)
    assert torch.equal(state.c, first.c)
    grads = torch.autograd.grad(state.c.sum(), cell.weight_ih, allow_unused=True)[0]
    assert not grads.any()
    i.fill_(1e4), f.fill_(-1e4), n.fill_(1e4)
    assert torch.equal(cell(some(4, 3), state)[1].c, torch.ones(4, 5).double())


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("options", [{}, {"input_gate": False, "peepholes": True}])
def test_the_wished_forget_bias(options, layer_norm):
    cell = LSTM(Config(forget_bias=1.5, layer_norm=layer_norm, **options), 3, 5)
    k = cell.config.rows.index("f")
    total = cell.bias_ih if cell.bias_hh is None else cell.bias_ih + cell.bias_hh
    assert torch.equal(total.detach()[5 * k : 5 * k + 5], torch.full((5,), 1.5))
    others = torch.cat((total[: 5 * k], total[5 * k + 5 :]))
    assert (others.abs() <= 2 * 5**-0.5).all()


def test_layer_norm_does_not_see_the_scale_of_weights():
    """Ba et al. 2016, table 1: a matrix as a whole may be scaled; the network computes the same."""
    torch.manual_seed(0)
    cell = LSTM(Config(layer_norm=True), 3, 50).double()
    driven, state = cell.drive(some(6, 4, 3) * 100), LSTMState(some(4, 50) * 100, some(4, 50))
    before = cell.step(driven[0], state)
    cell.weight_hh.data *= 7
    after = cell.step(driven[0], state)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-6)  # but for the epsilon under the root


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_scan_by_hand_is_the_loop(layer_norm):
    torch.manual_seed(0)
    cell = LSTM(Config(layer_norm=layer_norm), 3, 4).double()
    for value in cell.parameters():
        nn.init.normal_(value)
    x = some(5, 2, 3).requires_grad_()
    state = LSTMState(some(2, 4).requires_grad_(), some(2, 4).requires_grad_())
    fast = cell.scan(cell.drive(x), state)
    slow = scan_steps(cell.step, cell.drive(x), state)
    torch.testing.assert_close(fast[:2], slow[:2], rtol=1e-12, atol=1e-12)
    weights, leaves = some(5, 2, 4), [x, state.h, state.c, *cell.parameters()]
    for loss in (
        lambda s: (s.h * weights).sum(),
        lambda s: (s.c * weights).sum(),
        lambda s: (s.h * weights).sum() + s.c[-1].square().sum(),
    ):
        mine, other = (torch.autograd.grad(loss(s), leaves, retain_graph=True, allow_unused=True) for s in (fast, slow))
        for one, two in zip(mine, other, strict=True):
            assert two is not None or one is None or not one.any()
            if two is not None:
                torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_hand_written_gradient(layer_norm):
    torch.manual_seed(0)
    sizes = [(4, 2, 12), (12, 3), (2, 3), (2, 3)] + [(12,), (3,), (3,)] * layer_norm
    values = [some(*size).requires_grad_() for size in sizes]
    torch.autograd.gradcheck(lambda d, w, h, c, *norms: scan_lstm(d, w, norms or None, h, c), values)


def test_the_scan_leaves_autocast_s_precision():
    """Under bfloat16 autocast the products outside are bfloat16; states and gradients stay as the weights are."""
    cell = LSTM(Config(layer_norm=True), 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        states = cell.scan(cell.drive(torch.randn(5, 2, 3)), cell.begin(2))
    assert states.h.dtype == torch.float32
    states.h.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in cell.parameters())
