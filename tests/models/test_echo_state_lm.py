"""The echo state network: what is fixed, how much a reservoir remembers, and the ridge fit against its definition."""

import pytest
import torch

from models.cells.echo_state import Config as Echo
from models.cells.echo_state import EchoState
from models.echo_state_lm import Config
from models.interface import Batch, Padded
from models.layers.ridge_regression import moments, ridge
from models.layers.rnn_layer import Unroll

torch.set_num_threads(1)

VARIANTS = [{"hidden_size": 40}, {"hidden_size": 60, "echo": {"leak": 0.7, "spectral_radius": 0.8, "density": 0.5}}]


def test_only_the_readout_is_trained():
    model = Config().build(0, 105)
    assert {name for name, _ in model.named_parameters()} == {"output.weight", "output.bias"}
    assert {name for name, _ in model.named_buffers()} == {"reservoir.cell.weight_ih", "reservoir.cell.weight_hh"}
    with pytest.raises(ValueError, match="hidden_size"):
        Config(hidden_size=0)


@pytest.mark.parametrize(("radius", "density"), [(0.9, 0.1), (1.2, 1.0), (0.3, 0.4)])
def test_the_reservoir_is_as_its_config_says(radius, density):
    torch.manual_seed(0)
    cell = EchoState(Echo(spectral_radius=radius, density=density, input_scale=0.5), 3, 200).double()
    assert torch.linalg.eigvals(cell.weight_hh).abs().max() == pytest.approx(radius, rel=1e-5)
    share = (cell.weight_hh != 0).double().mean()
    assert abs(share - density) < 5 * (density * (1 - density) / 200**2) ** 0.5 + 1e-12
    assert 0.49 < cell.weight_ih.abs().max() <= 0.5


def test_the_state_forgets_where_it_began():
    """The echo state property: below a radius of 1 two starts come together, well above they do not."""
    torch.manual_seed(0)
    x = torch.randn(1, 300, 2, dtype=torch.float64) * 0.1
    gaps = []
    for radius in (0.8, 3.0):
        layer = Unroll(EchoState(Echo(spectral_radius=radius, density=1.0, input_scale=0.1), 2, 100)).double()
        starts = (layer.begin(1), type(layer.begin(1))(torch.randn(1, 100, dtype=torch.float64)))
        ends = [layer(Padded(x, torch.tensor([300])), start)[1].h for start in starts]
        gaps.append((ends[0] - ends[1]).norm())
    assert gaps[0] < 1e-9
    assert gaps[1] > 1e-1


def test_the_leak_is_a_running_mean():
    cell = EchoState(Echo(leak=0.25), 2, 6).double()
    x, before = torch.randn(3, 2).double(), cell.begin(3)._replace(h=torch.randn(3, 6).double())
    whole = EchoState(Echo(leak=1.0), 2, 6).double()
    whole.load_state_dict(cell.state_dict())
    torch.testing.assert_close(cell(x, before)[0], 0.75 * before.h + 0.25 * whole(x, before)[0])


def memory_capacity(radius):
    """Jaeger 2002: the sum over delays k of the squared correlation of u(t - k) with its best linear read-out."""
    torch.manual_seed(1)
    units, delays, settle = 30, 60, 100
    cell = EchoState(Echo(spectral_radius=radius, density=0.5, input_scale=0.01), 1, units).double()
    u = torch.rand(1, 3000, 1, dtype=torch.float64) - 0.5
    states = Unroll(cell)(Padded(u, torch.tensor([3000])))[0].data[0, settle:] * 100
    delayed = torch.stack([u[0, settle - k : 3000 - k, 0] for k in range(delays)], 1)
    half = len(states) // 2
    read = states[half:] @ ridge(moments(states[:half], delayed[:half]), 1e-9)
    pairs = zip(read.T, delayed[half:].T, strict=True)
    return torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] ** 2 for pair in pairs]), units


def test_memory_capacity():
    """N units hold at most N past inputs, and nearly so many where they are almost linear and slow to fade."""
    long, units = memory_capacity(0.95)
    short, _ = memory_capacity(0.2)
    assert 0.5 * units < long.sum() <= 1.05 * units  # 1.05: chance correlations of the delays it has forgotten
    assert (long[:10] > 0.99).all()
    assert (long[50:] < 0.1).all()
    assert short.sum() < 0.7 * long.sum()


def test_ridge_is_least_squares_of_the_augmented_system():
    """|S W - Y|^2 + p |W|^2 is the plain least-squares problem with rows sqrt(p) I, solved by QR."""
    torch.manual_seed(0)
    states, targets = torch.randn(40, 7).double(), torch.randn(40, 3).double()
    rows = torch.cat((states, 0.3**0.5 * torch.eye(7).double()))
    truth = torch.linalg.lstsq(rows, torch.cat((targets, torch.zeros(7, 3).double()))).solution
    torch.testing.assert_close(ridge(moments(states, targets), 0.3), truth)
    known = torch.randn(7, 3).double()
    torch.testing.assert_close(ridge(moments(states, states @ known), 1e-10), known)
    with pytest.raises(ValueError, match="penalty"):
        ridge(moments(states, targets), 0.0)


def test_the_readout_s_loss_is_convex():
    """Along a line between any two read-outs the loss lies below its chord."""
    torch.manual_seed(0)
    model = Config(**VARIANTS[0]).build(0, 7).double()
    batch = Batch(("a",), None, Padded.stack([torch.randint(7, (20,))]))
    ends = [[torch.randn_like(p) for p in model.parameters()] for _ in range(2)]

    def loss(share):
        for value, one, other in zip(model.parameters(), *ends, strict=True):
            value.data = (1 - share) * one + share * other
        return float(model.loss(batch).total.detach())

    for share in (0.2, 0.5, 0.8):
        assert loss(share) < (1 - share) * loss(0) + share * loss(1)


def test_a_read_out_in_closed_form():
    """Of two texts that say the same in every place it gives the share of each token, and never less than its floor."""
    torch.manual_seed(0)
    model = Config(hidden_size=30, ridge=1e-6, floor=1e-3).build(0, 7)
    tokens = torch.tensor([[4, 5, 6], [4, 5, 6], [4, 5, 6], [4, 5, 6]])
    nexts = torch.tensor([[5, 6, 1], [5, 6, 1], [5, 6, 1], [5, 6, 3]])
    lengths = torch.tensor([3, 3, 3, 3])
    found, _ = model.moments(Batch(tuple("abcd"), Padded(tokens, lengths), Padded(nexts, lengths)), None)
    model.solve(found)
    p = model.predict(Padded(tokens[:1], lengths[:1]), None)[0].data[0].exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(3))
    truth = torch.full((3, 7), 1e-3)
    truth[0, 5] = truth[1, 6] = 1
    truth[2, 1], truth[2, 3] = 0.75, 0.25
    torch.testing.assert_close(p, truth / truth.sum(-1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_a_penalty_and_a_floor_are_in_range():
    for options in ({"ridge": -1.0}, {"floor": 0.0}, {"floor": 1.0}):
        with pytest.raises(ValueError, match="ridge is not negative"):
            Config(**options)
