"""The unitary network: W is unitary and is its factors, the cell is its equation, and what it keeps over time."""

import pytest
import torch

from models.cells.elman_jordan import RNNState
from models.cells.step_loop import scan_steps
from models.cells.unitary import LEAST, Unitary
from models.interface import LanguageModel
from models.unitary_rnn import Config

torch.set_num_threads(1)

VARIANTS = [{"hidden_size": 16}, {"hidden_size": 32}]


def cell(size=6):
    torch.manual_seed(0)
    return Unitary(size).double()


def by_factors(cell):
    """D_3 R_2 F^-1 D_2 P R_1 F D_1, multiplied out."""
    n = cell.hidden_size
    j = torch.arange(n, dtype=torch.float64)
    fourier = torch.polar(torch.full((n, n), n**-0.5, dtype=torch.float64), -2 * torch.pi * j[:, None] * j / n)
    d1, d2, d3 = (torch.diag(torch.exp(1j * w)) for w in cell.phases.detach())
    v1, v2 = (torch.complex(*v) for v in cell.reflections.detach())
    r1, r2 = (torch.eye(n) - 2 * torch.outer(v, v.conj()) / (v.abs() ** 2).sum() for v in (v1, v2))
    permute = torch.eye(n, dtype=torch.complex128)[cell.permutation]
    return d3 @ r2 @ fourier.mH @ d2 @ permute @ r1 @ fourier @ d1


def test_w_is_its_factors_and_unitary():
    unit = cell()
    truth, found = by_factors(unit), unit.matrix().detach()
    h = torch.randn(6, dtype=torch.complex128)
    row = torch.cat((h.real, h.imag)) @ found
    torch.testing.assert_close(torch.complex(*row.chunk(2)), truth @ h, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(truth @ truth.mH, torch.eye(6, dtype=torch.complex128), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found @ found.T, torch.eye(12).double(), rtol=1e-12, atol=1e-12)


def test_a_step_is_its_equation():
    unit = cell()
    torch.nn.init.uniform_(unit.bias, -1, 0.5)
    driven, h = torch.randn(3, 12, dtype=torch.float64), torch.randn(3, 12, dtype=torch.float64)
    after = unit.step(driven, RNNState(h)).h
    for row, x, state in zip(after, driven, h, strict=True):
        z = by_factors(unit) @ torch.complex(*state.chunk(2)) + torch.complex(*x.chunk(2))
        length = (z.abs() ** 2 + LEAST).sqrt()
        truth = (length + unit.bias.detach()).relu() * z / length
        torch.testing.assert_close(torch.complex(*row.detach().chunk(2)), truth, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        unit.scan(driven[None].expand(4, -1, -1), RNNState(h)).h,
        scan_steps(unit.step, driven[None].expand(4, -1, -1), RNNState(h)).h,
        rtol=1e-12,
        atol=1e-12,
    )


def test_states_and_gradients_keep_their_length():
    """Over 2000 steps without input, which no other recurrence of the tree does."""
    unit = cell()
    h = torch.randn(3, 12, dtype=torch.float64).requires_grad_()
    last = unit.scan(torch.zeros(2000, 3, 12).double(), RNNState(h)).h[-1]
    torch.testing.assert_close(last.norm(dim=1), h.norm(dim=1), rtol=1e-9, atol=1e-9)
    slope = torch.randn(3, 12, dtype=torch.float64)
    (back,) = torch.autograd.grad((last * slope).sum(), h)
    torch.testing.assert_close(back.norm(dim=1), slope.norm(dim=1), rtol=1e-9, atol=1e-9)


def test_nothing_is_lost_at_zero():
    unit = cell()
    h = torch.zeros(1, 12, dtype=torch.float64).requires_grad_()
    unit.step(torch.zeros(1, 12).double(), RNNState(h)).h.sum().backward()
    assert h.grad.isfinite().all()


def test_parameters_are_few():
    """7 n of the recurrence and 2 n of its beginning, beside V and U."""
    model = Config(hidden_size=128).build(0, 10)
    assert isinstance(model, LanguageModel)
    assert sum(p.numel() for p in model.recurrent.parameters()) == (3 + 4 + 1 + 2) * 128
    assert sum(p.numel() for p in model.parameters()) == 10 * 128 + 10 * 256 + 10 * 257


@pytest.mark.parametrize(("options", "message"), [({"hidden_size": 0}, "at least 1"), ({"dropout": 1.0}, "dropout")])
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
