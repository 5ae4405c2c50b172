"""ConvS2S: the paper's sizes by hand, its equations for one pair, what a step depends on, positions that end."""

import pytest
import torch
import torch.nn.functional as F

from models.conv_s2s import WMT, Config
from models.interface import Batch, Beam, Decoder, Padded
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {
    "embedding_size": 16,
    "encoder": [[3, 16], [3, 20]],
    "decoder": [[3, 16], [2, 20]],
    "positions": 30,
    "dropout": 0.0,
}
VARIANTS = [SMALL, SMALL | {"encoder": [[5, 16]], "decoder": [[1, 16], [3, 16]], "label_smoothing": 0.05}]


def small(**more):
    torch.manual_seed(0)
    return Config(**(SMALL | more)).build(9, 8).double().eval()


def pair(source=(5, 7, 4, 8), target=(4, 6)):
    return Batch(("a",), *(Padded.stack([torch.tensor(x)]) for x in (source, target)))


def test_parameters_of_the_paper_s_network():
    """Layer by layer; weight normalization has a gain for each output."""
    with torch.device("meta"):
        model = Config().build(40_000, 40_000)
    assert isinstance(model, Decoder)
    assert [n for _, n in WMT] == [512] * 10 + [768] * 3 + [2048] * 2

    def linear(inputs, outputs):
        return outputs * (inputs + 2)

    side, size = linear(512, 512) + (40_000 + 1024) * 512 + linear(2048, 512), 512
    for kernel, outputs in WMT:
        side += linear(kernel * size, 2 * outputs) + (linear(size, outputs) if size != outputs else 0)
        size = outputs
    looks = sum(linear(n, 512) + linear(512, n) for _, n in WMT)
    assert sum(p.numel() for p in model.parameters()) == 2 * side + looks + linear(512, 40_000) == 154_464_896


def gated(layer, x, pad):
    """v(W [..] + b) of x (T, C), a step at a time, and the shortcut."""
    weight, bias, rows = layer.convolve.weight, layer.convolve.bias, []
    x = F.pad(x, (0, 0, *pad))
    for t in range(len(x) - weight.shape[2] + 1):
        a, b = (torch.einsum("ock,kc->o", weight, x[t : t + weight.shape[2]]) + bias).chunk(2)
        rows.append(a * b.sigmoid())
    return torch.stack(rows)


def test_the_equations_of_the_paper():
    model, half = small(), 0.5**0.5
    source, read = torch.tensor([5, 7, 4, 8, EOS]), torch.tensor([BOS, 4, 6])
    for value in (p for n, p in model.named_parameters() if n.endswith("bias")):
        torch.nn.init.normal_(value)
    e = model.source.token.weight[source] + model.source.position.weight[:5]
    h = model.enter(e)
    for layer in model.encoder:
        h = half * (gated(layer, h, (1, 1)) + layer.shortcut(h))
    z = model.leave(h)
    g = model.target.token.weight[read] + model.target.position.weight[:3]
    h = model.begin(g)
    for layer, look, back, (kernel, _) in zip(
        model.decoder, model.looks, model.returns, model.config.decoder, strict=True
    ):
        y = gated(layer, h, (kernel - 1, 0))
        a = ((half * (look(y) + g)) @ z.T).softmax(1)
        c = 5 * (1 / 5) ** 0.5 * a @ (half * (z + e))
        h = half * (half * (y + back(c)) + layer.shortcut(h))
    truth = model.output(model.end(h))
    found = model.predict(model.encode(pair().source), Padded(read[None], torch.tensor([3])))
    torch.testing.assert_close(found[0], truth, rtol=1e-9, atol=1e-9)


def test_it_begins_with_the_variance_of_the_paper():
    torch.manual_seed(0)
    model = Config(embedding_size=64, encoder=((3, 64),), decoder=((3, 64),), dropout=0.25).build(500, 500)
    for layer, variance in ((model.leave, 0.75 / 64), (model.decoder[0].convolve, 4 * 0.75 / 192)):
        assert float(layer.weight.detach().var()) == pytest.approx(variance, rel=0.05)
    assert float(model.source.token.weight.detach().std()) == pytest.approx(0.1, rel=0.05)


def test_the_encoder_s_gradient_is_shared_out():
    """Through z it is halved by two attentions; the embeddings beside z have all of theirs."""
    model, batch = small(), pair()
    model.loss(batch).total.backward()
    halved = model.leave.bias.grad.clone()
    model.zero_grad()
    model.leave.register_forward_hook(lambda _, __, z: z.view_as(z))
    memory = model.encode(batch.source)
    keys, values = (x.detach().requires_grad_() for x in memory.data[:2])
    model.decode_loss(
        type(memory)(memory.data._replace(keys=keys, values=values), memory.lengths), batch.target
    ).total.backward()
    whole = (keys.grad + 0.5**0.5 * values.grad).sum((0, 1))
    torch.testing.assert_close(halved, whole / 2, rtol=1e-9, atol=1e-9)


def test_a_target_s_future_is_not_read():
    model = small()
    memory, read = model.encode(pair().source), torch.tensor([[BOS, 4, 6, 5, 7]])
    whole = model.predict(memory, Padded(read, torch.tensor([5])))
    for t in range(4):
        other = read.clone()
        other[:, t + 1 :] = 3
        same = model.predict(memory, Padded(other, torch.tensor([5])))
        torch.testing.assert_close(same[:, : t + 1], whole[:, : t + 1], rtol=1e-12, atol=1e-12)


def test_positions_end():
    model = small()
    with pytest.raises(ValueError, match="source of 30 tokens is longer than positions=30"):
        model.encode(Padded(torch.full((1, 30), 4), torch.tensor([30])))
    with pytest.raises(ValueError, match="target of 30 tokens"):
        model.loss(pair(target=[4] * 30))
    model.output.bias.data[EOS] = -100.0
    (nbest,) = model.search(Padded(torch.full((1, 29), 4), torch.tensor([29])), Beam(width=2))
    assert {len(h.tokens) for h in nbest} == {29}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": []}, "one layer"),
        ({"encoder": [[2, 16]]}, "odd"),
        ({"decoder": [[3, 0]]}, "at least 1"),
        ({"positions": 1}, "positions"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
