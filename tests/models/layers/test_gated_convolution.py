"""Gated convolutions against their equation, one number at a time, and what keeps them causal."""

import pytest
import torch

from models.layers.gated_convolution import GatedBlock, GatedConvolution, ends

torch.set_num_threads(1)


def sequence(*size, seed=0):
    torch.manual_seed(seed)
    return torch.randn(*size, dtype=torch.float64)


@pytest.mark.parametrize("kernel", [1, 2, 5])
def test_a_layer_equals_its_equation(kernel):
    layer = GatedConvolution(3, (kernel, 4)).double()
    torch.nn.init.normal_(layer.convolve.bias)
    x, past = sequence(2, 3, 6), sequence(2, 3, kernel - 1, seed=1)
    h, seen = layer(x, past)
    whole = torch.cat((past, x), 2)
    torch.testing.assert_close(seen, whole, rtol=0, atol=0)
    (w, v), (b, c) = layer.convolve.weight.split(4), layer.convolve.bias.split(4)
    for row in range(2):
        for t in range(6):
            xs = [whole[row, :, t + i] for i in range(kernel)]
            linear = sum(w[:, :, i] @ x for i, x in enumerate(xs)) + b
            gate = sum(v[:, :, i] @ x for i, x in enumerate(xs)) + c
            torch.testing.assert_close(h[row, :, t], linear * gate.sigmoid())


def test_weights_are_normalized():
    """w = g v / |v|: the direction's length does not count, and the gain is the length."""
    layer = GatedConvolution(3, (4, 5)).double()
    gain, direction = layer.convolve.parametrizations.weight.original0, layer.convolve.parametrizations.weight.original1
    before = layer.convolve.weight.clone()
    assert gain.shape == (10, 1, 1)
    with torch.no_grad():
        direction.mul_(7)
        torch.testing.assert_close(layer.convolve.weight, before)
        gain.mul_(3)
    torch.testing.assert_close(layer.convolve.weight, 3 * before)
    torch.testing.assert_close(layer.convolve.weight.flatten(1).norm(dim=1), gain.flatten().abs())


def test_the_beginning_is_he_s():
    """Standard deviation (2 / fan-in)^1/2: of 60,000 weights known to about half a percent."""
    torch.manual_seed(0)
    weight = GatedConvolution(100, (3, 100)).convolve.weight.detach()
    assert float(weight.std()) == pytest.approx((2 / 300) ** 0.5, rel=0.02)


@pytest.mark.parametrize("before", [4, 6])
def test_a_block_adds_its_layers_to_its_shortcut(before):
    block = GatedBlock(before, ((1, 3), (3, 2), (1, 4)), 0.0).double()
    assert block.size == 4
    x = sequence(2, before, 5)
    pasts = tuple(torch.zeros(2, *shape, dtype=torch.float64) for shape in block.past_shapes)
    y, seen = block(x, pasts)
    h = x
    for layer, past in zip(block.gated, pasts, strict=True):
        h, _ = layer(h, past)
    straight = x if before == 4 else block.shortcut(x)
    torch.testing.assert_close(y, straight + h)
    assert [s.shape[2] for s in seen] == [5, 7, 5]


def test_ends_are_each_row_s_own():
    seen = torch.arange(24.0).view(2, 1, 12).expand(2, 3, 12)  # 4 steps of past, then 8
    lengths = torch.tensor([8, 3])
    torch.testing.assert_close(ends(seen, lengths, 4)[:, 0], torch.tensor([[8.0, 9, 10, 11], [15, 16, 17, 18]]))
    torch.testing.assert_close(ends(seen, torch.tensor([0, 8]), 4)[0, 0], torch.arange(4.0))
    assert ends(seen, lengths, 0).shape == (2, 3, 0)


def test_the_gradient():
    block = GatedBlock(2, ((1, 3), (3, 3)), 0.0).double()
    pasts = sequence(2, 2, 0), sequence(2, 3, 2)
    assert torch.autograd.gradcheck(
        lambda x, past: block(x, (pasts[0], past))[0], (sequence(2, 2, 4).requires_grad_(), pasts[1].requires_grad_())
    )
