"""Every initialization for what it promises of each gate."""

import pytest
import torch

from models.layers.rnn_stack import Recurrent, recurrent_layer
from models.layers.weight_init import WeightInit

torch.set_num_threads(1)

H, D = 40, 30
CELLS = {
    "fused": {"cell": "lstm"},
    "own": {"cell": "lstm", "lstm": {"layer_norm": True}},
    "gru": {"cell": "gru"},
    "deep": {"cell": "deep_transition", "transition": {"depth": 3, "shortcut": True}},
    "both": {"cell": "gru", "bidirectional": True},
}


def gates(options, kind):
    torch.manual_seed(0)
    layer = recurrent_layer(Recurrent(hidden_size=H, **options), D)
    found = [gate for name, value in layer.named_parameters() if kind in name for gate in value.detach().split(H)]
    assert found
    return found


def scheme(cell, **how):
    return CELLS[cell] | {"initialize": how}


@pytest.mark.parametrize("cell", CELLS)
def test_orthogonal(cell):
    for gate in gates(scheme(cell, recurrent="orthogonal", recurrent_scale=0.9), "weight_hh"):
        torch.testing.assert_close(gate.T @ gate, 0.81 * torch.eye(H), rtol=0, atol=1e-5)
    for gate in gates(scheme(cell, input="orthogonal"), "weight_ih"):
        torch.testing.assert_close(gate.T @ gate, torch.eye(D), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_identity(cell):
    for gate in gates(scheme(cell, recurrent="identity", recurrent_scale=0.5), "weight_hh"):
        assert torch.equal(gate, 0.5 * torch.eye(H))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("how", "bounds"),
    [
        ({}, (H**-0.5, H**-0.5)),
        ({"input": "uniform", "input_scale": 0.08, "recurrent": "uniform", "recurrent_scale": 0.08}, (0.08, 0.08)),
        ({"input": "glorot", "recurrent": "glorot"}, ((6 / (D + H)) ** 0.5, (6 / (2 * H)) ** 0.5)),
    ],
    ids=["lecun", "uniform", "glorot"],
)
def test_uniform_between_bounds(cell, how, bounds):
    for kind, bound in zip(("weight_ih", "weight_hh"), bounds, strict=True):
        for gate in gates(scheme(cell, **how), kind):
            assert 0.99 * bound < gate.abs().max() <= bound
            assert abs(gate.std() / (bound / 3**0.5) - 1) < 0.1
            assert abs(gate.mean()) < 5 * bound / (3 * gate.numel()) ** 0.5


def test_normal():
    for gate in gates(scheme("gru", input="normal", input_scale=0.001), "weight_ih"):
        assert abs(gate.std() / 0.001 - 1) < 0.1


@pytest.mark.parametrize("cell", ["fused", "own"])
def test_biases_and_the_forget_gate(cell):
    """torch keeps a bias twice: what counts is the sum, of torch's kernel and of the own cell."""
    options = scheme(cell, bias="zero")
    options["lstm"] = options.get("lstm", {}) | {"forget_bias": 1.0}
    torch.manual_seed(0)
    layer = recurrent_layer(Recurrent(hidden_size=H, **options), D)
    total = sum(value.detach() for name, value in layer.named_parameters() if "bias_" in name)
    assert torch.equal(total, torch.cat((torch.zeros(H), torch.ones(H), torch.zeros(2 * H))))
    for bias in gates(scheme(cell, bias="uniform", bias_scale=0.01), "bias_ih"):
        assert 0.008 < bias.abs().max() <= 0.01


def test_unknown_schemes_are_refused():
    for field in ("input", "recurrent", "bias"):
        with pytest.raises(ValueError, match=f"initialize.{field} is one of"):
            WeightInit(**{field: "kaiming"})
    with pytest.raises(ValueError, match="initialize.bias is one of"):
        WeightInit(bias="orthogonal")
    with pytest.raises(ValueError, match="no scale"):
        WeightInit(recurrent="glorot", recurrent_scale=2.0)
