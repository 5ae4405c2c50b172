"""Deep Speech: the paper's counts, its equations one number at a time, and what its config refuses."""

import pytest
import torch

from models.deep_speech import Config
from models.interface import EmissionModel, Padded

torch.set_num_threads(1)

SMALL = {"hidden_size": 24, "context": 2, "stride": 2}
VARIANTS = [
    SMALL,
    SMALL | {"context": 0, "stride": 1, "dropout": 0.0},
    SMALL | {"cell": "lstm", "lstm": {"peepholes": True, "layer_norm": True}, "merge": "concat"},
    SMALL | {"cell": "gru", "layers": 2, "norm": "product", "zoneout": 0.1},
]


def test_parameters_of_the_paper_s_net():
    """80 filter banks (section 2.3's log spectrograms of linear bands have 160), 29 characters."""
    with torch.device("meta"):
        model = Config().build(80, 29)
    h = 2048
    dense = h * (19 * 80 + 1) + 2 * h * (h + 1)
    assert sum(p.numel() for p in model.parameters()) == dense + h * (h + 1) + 2 * h * h + h * (h + 1) + 29 * (h + 1)


def clipped(z):
    return z.clamp(0, 20)


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_the_paper_s_equations(steps):
    torch.manual_seed(0)
    model = Config(**SMALL).build(3, 5).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    x = torch.randn(steps, 3, dtype=torch.float64)
    weights = [d.convolve for d in model.dense.delays]
    zero = torch.zeros(3, dtype=torch.float64)
    h3 = []
    for t in range(0, steps, 2):
        window = [x[t + i] if 0 <= t + i < steps else zero for i in range(-2, 3)]
        h = clipped(sum(weights[0].weight[:, :, i] @ frame for i, frame in enumerate(window)) + weights[0].bias)
        for w in weights[1:]:
            h = clipped(w.weight[:, :, 0] @ h + w.bias)
        h3.append(h)
    (layer,) = model.recurrent.layers
    forward, backward = (direction.cell.weight_hh for direction in (layer.layer.ahead, layer.layer.back))
    driven = [layer.transform.weight_ih @ h + layer.transform.bias_ih for h in h3]
    ahead, back = [], []
    for inputs, states, weight in ((driven, ahead, forward), (driven[::-1], back, backward)):
        state = torch.zeros(24, dtype=torch.float64)
        for z in inputs:
            state = clipped(z + weight @ state)
            states.append(state)
    h5 = [clipped(model.last(a + b)) for a, b in zip(ahead, back[::-1], strict=True)]
    expected = torch.stack([model.output(h).log_softmax(-1) for h in h5])
    assert isinstance(model, EmissionModel)
    torch.testing.assert_close(model.emit(Padded.stack([x])).data[0], expected, rtol=1e-9, atol=1e-9)


def test_a_bundle_of_an_earlier_version():
    torch.manual_seed(0)
    model, again = (Config(**SMALL).build(3, 5).eval() for _ in range(2))
    weights, layer = model.state_dict(), "recurrent.layers.0."
    for name in ("weight", "bias"):
        weights[f"recurrent.product.{name}"] = weights.pop(f"{layer}transform.{name}_ih")
    both = [weights.pop(f"{layer}layer.{direction}.cell.weight_hh").t() for direction in ("ahead", "back")]
    weights["recurrent.recurrence"] = torch.stack(both)
    again.load_state_dict(weights)
    source = Padded(torch.randn(2, 9, 3), torch.tensor([9, 4]))
    torch.testing.assert_close(again.emit(source).data, model.emit(source).data)


def test_the_padding_s_values_are_not_read():
    torch.manual_seed(0)
    model = Config(**SMALL).build(3, 5).double().eval()
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (9, 4, 1)]
    out = model.emit(Padded.stack(rows, fill=float("nan")))
    assert out.lengths.tolist() == [5, 2, 1]
    for b, row in enumerate(rows):
        alone = model.emit(Padded.stack([row])).data[0]
        torch.testing.assert_close(out.data[b, : len(alone)], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"context": -1}, "context"),
        ({"stride": 0}, "stride"),
        ({"dropout": 1}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
