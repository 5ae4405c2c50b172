"""Deep Speech 2: the paper's numbers, its step arithmetic, and what its config refuses."""

import pytest
import torch

from models.criteria.ctc import ctc
from models.deep_speech_2 import Config
from models.interface import Batch, Beam, EmissionModel, Padded
from models.registry import build

torch.set_num_threads(1)

SMALL = {
    "channels": [4, 6],
    "time_kernels": [3, 5],
    "time_strides": [2, 1],
    "frequency_kernels": [5, 3],
    "frequency_strides": [2, 2],
    "hidden_size": 24,
    "layers": 2,
}
FUSED = {"share_input": False, "norm": "input"}  # what torch's kernels can do
VARIANTS = [
    SMALL,
    SMALL | {"cell": "gru"},
    SMALL | {"cell": "gru"} | FUSED,
    SMALL | {"cell": "lstm", "merge": "concat", "dropout": 0.1} | FUSED,
    SMALL | {"cell": "lstm", "lstm": {"peepholes": True}} | FUSED,
    SMALL | {"cell": "lstm", "lstm": {"layer_norm": True}},
    SMALL | {"cell": "lstm", "zoneout": 0.1, "zoneout_cell": 0.1},
    SMALL | {"cell": "gru", "gru": {"reset": "inside"}, "bidirectional": False},
    SMALL | {"members": 2},
]


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 36_367_037),
        ({"cell": "gru"}, 107_099_837),
        ({"cell": "gru"} | FUSED, 144_405_629),
        ({"cell": "lstm"} | FUSED, 192_200_829),
    ],
)
def test_parameters_of_the_paper_s_net(options, parameters):
    """161 spectrogram bins, 29 characters. By hand where the product is shared, layer by layer."""
    with torch.device("meta"):
        model = Config(**options).build(161, 29)
    assert sum(p.numel() for p in model.parameters()) == parameters
    if "norm" not in options:
        rows = 3 * 1280 if options else 1280  # of a layer's product and its recurrence
        convolutions = 32 * 11 * 41 + 32 * 32 * 11 * 21 + 96 * 32 * 11 * 21 + 2 * (32 + 32 + 96)
        first, others = (96 * 21 + 2 * 1280) * rows, 3 * 1280 * rows
        norms = 7 * 2 * rows + 2 * 1280  # one a recurrent layer, one before the output
        assert parameters == convolutions + first + 6 * others + norms + 1281 * 29


@pytest.mark.parametrize("bands", [13, 40, 80])
@pytest.mark.parametrize("strides", [[1, 1], [2, 1], [2, 2], [3, 2]])
def test_lengths_are_the_ceiling(bands, strides):
    model = Config(**(SMALL | {"time_strides": strides})).build(bands, 7).eval()
    assert isinstance(model, EmissionModel)
    assert model.reduction == strides[0] * strides[1]
    lengths = torch.arange(1, 20)
    out = model.emit(Padded(torch.randn(19, 19, bands), lengths))
    assert out.lengths.tolist() == [-(-n // model.reduction) for n in range(1, 20)]
    assert out.data.shape == (19, -(-19 // model.reduction), 7)
    torch.testing.assert_close(out.data.exp().sum(-1), torch.ones(out.data.shape[:2]))


@pytest.mark.parametrize("options", VARIANTS)
def test_the_padding_s_values_are_not_read(options):
    """Not even where they are nan, and not in the batch's statistics."""
    torch.manual_seed(0)
    rows = [torch.randn(n, 13, dtype=torch.float64) for n in (15, 8, 1)]
    model = Config(**(options | {"dropout": 0.0, "zoneout": 0.0, "zoneout_cell": 0.0})).build(13, 7).double().train()
    clean = model.emit(Padded.stack(rows))
    dirty = model.emit(Padded.stack(rows, fill=float("nan")))
    torch.testing.assert_close(dirty.data[dirty.mask()], clean.data[clean.mask()], rtol=1e-12, atol=1e-12)


def test_members_emit_the_mean_of_their_probabilities():
    model, source, _ = committee()
    said = torch.stack([member(source).data.exp() for member in model.members])
    assert (said.std(0) > 1e-4).any()  # no two begin alike
    torch.testing.assert_close(model.emit(source).data.exp(), said.mean(0), rtol=1e-12, atol=1e-12)


def test_members_learn_by_their_own_losses_and_by_that_of_them_together():
    model, source, target = committee()
    alone = [ctc(member(source), target).total for member in model.members]
    whole = ctc(model.emit(source), target).total
    loss = model.loss(Batch(("a", "b"), source, target))
    assert loss.count == 3
    torch.testing.assert_close(loss.total, (sum(alone) / 3 + whole) / 2)
    for own, member in zip(alone, model.members, strict=True):
        weight = next(member.parameters())
        found, mine, shared = (torch.autograd.grad(x, weight, retain_graph=True)[0] for x in (loss.total, own, whole))
        torch.testing.assert_close(found, mine / 6 + shared / 2)


def test_a_network_from_before_there_were_several():
    torch.manual_seed(0)
    model, again = (Config(**SMALL).build(13, 7).eval() for _ in range(2))
    again.load_state_dict({name.removeprefix("members.0."): w for name, w in model.state_dict().items()})
    source = Padded(torch.randn(2, 12, 13), torch.tensor([12, 9]))
    assert torch.equal(again.emit(source).data, model.emit(source).data)
    with pytest.raises(RuntimeError, match=r"members\.1"):
        Config(**SMALL, members=2).build(13, 7).load_state_dict(model.state_dict())


EARLIER = SMALL | {"merge": "sum", "dropout": 0.0}


def earlier_name(name):
    """Of a weight, in bundles from before all models had one family of recurrence."""
    if not name.startswith("recurrent.layers."):
        return name
    _, _, layer, part, *rest = name.split(".")
    if part == "transform":
        norm = [r for r in rest if r != "norm"]
        return f"recurrent.{layer}." + ("product.weight" if rest == ["weight_ih"] else f"norm.norm.{norm[0]}")
    direction, kind, weight = rest
    return f"recurrent.{layer}." + (f"{direction}.{weight}" if kind == "kernel" else f"recurrence.{direction}")


@pytest.mark.parametrize(
    ("cell", "now"),
    [
        ("rnn", {}),
        ("shared_gru", {"cell": "gru"}),
        ("gru", {"cell": "gru"} | FUSED),
        ("lstm", {"cell": "lstm"} | FUSED),
    ],
)
@pytest.mark.parametrize("members", [0, 2])
def test_a_bundle_of_an_earlier_version(cell, now, members):
    """Its options and its weights: the same network."""
    torch.manual_seed(0)
    told = {"members": members} if members else {}  # there were bundles before there could be several
    model, weights = Config(**SMALL | now | told).build(13, 7).eval(), {}
    for whole, value in model.state_dict().items():
        prefix, name = whole[:10], earlier_name(whole[10:])
        weights[(prefix if members else "") + name] = value
    for name in [name for name in weights if name.endswith("recurrence.ahead")]:
        both = [weights.pop(name.replace("ahead", direction)) for direction in ("ahead", "back")]
        weights[name.removesuffix(".ahead")] = torch.stack(both).transpose(1, 2)
    again = build("deep_speech_2", EARLIER | told | {"cell": cell}, 13, 7).eval()
    assert again.config == model.config
    again.load_state_dict(weights)
    source = Padded(torch.randn(2, 12, 13), torch.tensor([12, 9]))
    torch.testing.assert_close(again.emit(source).data, model.emit(source).data)


def test_a_pyramid_has_fewer_steps():
    model = Config(**SMALL | {"pyramid": 2}).build(13, 7).eval()
    assert model.reduction == 4
    assert model.emit(Padded(torch.randn(2, 11, 13), torch.tensor([11, 3]))).lengths.tolist() == [3, 1]


def test_without_norm_the_output_is_not_normalized_either():
    model = Config(**SMALL | {"norm": "none"}).build(13, 7)
    assert all("convolutions" in name for name in model.state_dict() if "running" in name)


def committee():
    """Three networks, and two utterances with their targets."""
    torch.manual_seed(0)
    model = Config(**SMALL, members=3).build(13, 7).double().eval()
    source = Padded(torch.randn(2, 12, 13, dtype=torch.float64), torch.tensor([12, 9]))
    return model, source, Padded(torch.tensor([[2, 3], [4, 0]]), torch.tensor([2, 1]))


def test_without_convolutions():
    none: dict[str, list[int]] = {name: [] for name in SMALL if isinstance(SMALL[name], list)}
    model = Config(**none, hidden_size=8, layers=1).build(13, 7)
    assert model.reduction == 1
    assert model.emit(Padded(torch.randn(2, 5, 13), torch.tensor([5, 3]))).data.shape == (2, 5, 7)


def test_a_whole_search():
    torch.manual_seed(0)
    model = Config(**SMALL).build(13, 7).eval()
    source = Padded(torch.randn(2, 12, 13), torch.tensor([12, 7]))
    for width in (1, 4):
        found = model.search(source, Beam(width=width))
        assert [len(nbest) <= width for nbest in found] == [True, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": [4]}, "time_kernels needs an entry"),
        (SMALL | {"time_kernels": [4, 5]}, "odd"),
        (SMALL | {"time_strides": [0, 1]}, "at least 1"),
        (SMALL | {"cell": "tanh"}, "cell is one of"),
        (SMALL | {"merge": "mean"}, "merge is"),
        (SMALL | {"layers": 0}, "layers"),
        (SMALL | {"members": 0}, "members"),
        (SMALL | {"cell": "gru", "lstm": {"peepholes": True}}, "lstm holds options of another cell"),
        (SMALL | {"cell": "gru", "elman": {"nonlinearity": "relu"}}, "elman holds options of another cell"),
        (SMALL | {"dropout": 1.0}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
