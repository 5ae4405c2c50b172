"""ZoneOut, rnnDrop and noise, each for what it claims."""

import pytest
import torch

from models.cells import elman_jordan, gru, lstm
from models.cells.lstm import LSTMState
from models.cells.zoneout import ZoneOut
from models.interface import Padded
from models.layers.rnn_stack import Recurrent, Stack

torch.set_num_threads(1)


def some(*shape):
    return torch.randn(*shape, dtype=torch.float64)


CELLS = {
    "elman": (lambda: elman_jordan.Elman(elman_jordan.Config(), 3, 5), (0.3,)),
    "gru": (lambda: gru.GRU(gru.Config(), 3, 5), (0.3,)),
    "lstm": (lambda: lstm.LSTM(lstm.Config(), 3, 5), (0.3, 0.6)),
}


@pytest.mark.parametrize("name", CELLS)
def test_zoneout_s_expectation_at_evaluation(name):
    """While training each unit is its old or its new value, with that frequency; evaluation is their exact mean."""
    torch.manual_seed(0)
    make, rates = CELLS[name]
    inner = make().double()
    cell, rows = ZoneOut(inner, rates), 20_000
    x, before = some(1, 3), type(inner.begin(1))(*(some(1, 5) for _ in rates))
    mean_y, mean = cell.eval()(x, before)
    assert mean_y is mean[0]
    many = type(before)(*(leaf.expand(rows, -1) for leaf in before[: len(rates)]))
    _, proposed = inner(x.expand(rows, -1), many)
    _, drawn = cell.train()(x.expand(rows, -1), many)
    for rate, old, new, expected, seen in zip(rates, before, proposed, mean, drawn, strict=False):
        torch.testing.assert_close(expected, rate * old + (1 - rate) * new[:1])
        kept = seen == old
        assert (kept | (seen == new)).all()
        deviation = (rate * (1 - rate) / rows) ** 0.5
        assert ((kept.double().mean(0) - rate).abs() < 5 * deviation).all()
        torch.testing.assert_close(seen.mean(0, keepdim=True), expected, rtol=0, atol=float(5 * deviation * 4))


def test_zoneout_of_all_and_of_nothing():
    torch.manual_seed(0)
    x, state = some(4, 3), LSTMState(some(4, 5), some(4, 5))
    inner = lstm.LSTM(lstm.Config(), 3, 5).double()
    for mode in (True, False):
        torch.testing.assert_close(ZoneOut(inner, (0.0, 0.0)).train(mode)(x, state)[1], inner(x, state)[1])
        zoned = ZoneOut(inner, (0.0, 1.0)).train(mode)(x, state)[1]
        assert torch.equal(zoned.c, state.c)
        torch.testing.assert_close(zoned.h, inner(x, state)[1].h)  # h is made of the new c (equation 5)


def test_zoneout_refuses():
    for rates in ((0.1, 0.1), (1.5,), (-0.1,)):
        with pytest.raises(ValueError, match="zoneout has 1 rates"):
            ZoneOut(elman_jordan.Elman(elman_jordan.Config(), 3, 5), rates)


def test_rnndrop_has_one_mask_a_sequence():
    torch.manual_seed(0)
    cell = lstm.LSTM(lstm.Config(drop=0.4), 3, 200).double().train()
    state = cell.begin(8)
    states = cell.scan(cell.drive(some(20, 8, 3)), state)
    alive = states.c != 0
    assert (alive == alive[:1]).all()  # the same cells in all steps
    assert (alive[0] == state.mask.bool()).all()
    assert all((alive[0, a] != alive[0, b]).any() for a in range(8) for b in range(a))  # others in each sequence
    share = alive[0].double().mean()
    assert abs(share - 0.6) < 5 * (0.4 * 0.6 / 1600) ** 0.5
    assert (cell.begin(8).mask != state.mask).any()


def test_rnndrop_s_expectation_at_evaluation():
    """Of one step: h is linear in the mask, so its mean over both masks of a cell is the h of evaluation."""
    torch.manual_seed(0)
    cell = lstm.LSTM(lstm.Config(drop=0.25), 3, 5).double()
    x, before = some(4, 3), LSTMState(some(4, 5), some(4, 5))
    shown = [cell.train()(x, before._replace(mask=torch.full((4, 5), m).double()))[0] for m in (0.0, 1.0)]
    plain = lstm.LSTM(lstm.Config(), 3, 5).double()
    plain.load_state_dict(cell.state_dict())
    truth = plain(x, before)[0]
    torch.testing.assert_close(0.25 * shown[0] + 0.75 * shown[1], truth)
    evaluated = cell.eval()(x, cell.begin(4)._replace(h=before.h, c=before.c))[0]
    torch.testing.assert_close(evaluated, truth)


def stack(**options):
    return Stack(Recurrent(cell="elman", hidden_size=6, **options), 6).double()


@pytest.mark.parametrize("draw", ["sequence", "batch"])
def test_weight_noise_is_one_draw_a_sequence_or_a_batch(draw):
    """Without recurrence and with one input at all steps, the noisy weights show in every step alike."""
    torch.manual_seed(0)
    net = stack(weight_noise=0.1, weight_noise_draw=draw, elman={"nonlinearity": "relu"})
    kernel = net.layers[0].kernel
    kernel.weight_hh_l0.data.zero_()
    kernel.bias_ih_l0.data.fill_(50.0)  # where relu is linear
    x = Padded(torch.ones(5, 1, 6).double(), torch.full((5,), 1))
    quiet = net.eval()(x)[0].data
    torch.testing.assert_close(net.eval()(x)[0].data, quiet, rtol=0, atol=0)
    drawn = torch.stack([net.train()(x)[0].data[:, 0] - quiet[:, 0] for _ in range(400)])
    apart = (drawn - drawn[:, :1]).abs().amax(-1)[:, 1:]
    assert bool((apart > 1e-3).all()) == (draw == "sequence")
    assert bool((apart < 1e-9).all()) == (draw == "batch")
    deviation = torch.full((6,), 0.1 * 8**0.5).double()  # of 6 weights and 2 biases
    torch.testing.assert_close(drawn[:, 0].std(0), deviation, rtol=0.2, atol=0)
    if draw == "sequence":
        assert torch.corrcoef(drawn[..., 0].T).fill_diagonal_(0).abs().max() < 5 / 400**0.5  # of one another
    grads = torch.autograd.grad(net(x)[0].data.sum(), list(net.parameters()))
    assert all(g.any() for g in (grads[0], grads[2]))


def test_weight_noise_is_the_same_at_all_steps():
    """As many draws for seven steps as for four; padding and rows without a step stay as they are."""
    net, x = stack(weight_noise=0.1).train(), some(3, 7, 6)

    def run(steps, lengths):
        torch.manual_seed(1)
        return net(Padded(x[:, :steps], torch.tensor(lengths)))

    long, (ended,) = run(7, [7, 4, 0])
    short, _ = run(4, [4, 4, 0])
    torch.testing.assert_close(long.data[:, :4], short.data)
    assert not long.data[1, 4:].any()
    assert not ended.h[2].any()
    torch.testing.assert_close(ended.h[:2], torch.stack((long.data[0, 6], long.data[1, 3])))
    with pytest.raises(ValueError, match="weight_noise_draw=sequence"):
        Recurrent(weight_noise=0.1, norm="input")


def test_a_mask_of_rnndrop_ends_with_its_sequence():
    """Where a state is carried from chunk to chunk, each chunk has a mask of its own; h and c go on."""
    torch.manual_seed(0)
    net = Stack(Recurrent(lstm={"drop": 0.5}, hidden_size=50), 3).double().train()
    x = Padded(some(2, 9, 3), torch.tensor([9, 9]))
    _, (first,) = net(x)
    y, (second,) = net(x, (first,))
    assert (first.mask != second.mask).any(1).all()
    assert ((y.data != 0) == second.mask.bool()[:, None]).all()  # the one mask at all of its steps
    assert (net(x, (first._replace(h=first.h * 0, c=first.c * 0),))[0].data != y.data).any()
    _, (evaluated,) = net.eval()(x, (first,))
    assert torch.equal(evaluated.mask, first.mask)


def test_input_noise():
    torch.manual_seed(0)
    net = stack(input_noise=0.5, elman={"nonlinearity": "relu"})
    kernel = net.layers[0].kernel
    kernel.weight_hh_l0.data.zero_()
    kernel.weight_ih_l0.data.copy_(torch.eye(6))
    kernel.bias_ih_l0.data.fill_(50.0)
    x = Padded(some(50, 40, 6), torch.full((50,), 40))
    quiet = net.eval()(x)[0].data
    noise = net.train()(x)[0].data - quiet
    assert abs(noise.mean()) < 5 * 0.5 / noise.numel() ** 0.5
    torch.testing.assert_close(noise.std(), torch.tensor(0.5).double(), rtol=0.03, atol=0)
    flat = noise.flatten(0, 1)
    assert (torch.corrcoef(flat.T) - torch.eye(6)).abs().max() < 5 / len(flat) ** 0.5  # its own for each feature
