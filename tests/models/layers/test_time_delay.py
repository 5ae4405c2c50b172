"""Delays against their equation, step by step, and the lengths they promise."""

import pytest
import torch

from models.interface import Padded
from models.layers.time_delay import TimeDelay, TimeDelayConfig, TimeDelayEncoder
from models.layers.time_domain_filterbank import FilterBank, TimeDomainFilters

torch.set_num_threads(1)

LENGTHS = (14, 9, 5, 2, 1)
SHAPES = [
    pytest.param({"windows": (w,), "dilations": (d,), "strides": (s,), "edges": edges}, id=f"{edges}-{w}-{d}-{s}")
    for edges in ("valid", "same")
    for w, d, s in ((3, 1, 1), (4, 1, 1), (3, 2, 1), (5, 1, 3), (2, 3, 2), (1, 1, 1), (1, 1, 4))
]


def rows(*, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(n, 3, dtype=torch.float64) for n in LENGTHS]


def equation(row, layer, shape):
    """sum_i W_i x_{s t + d i} + b, where x is zero before its first step and after its last."""
    window, dilation, stride = shape.windows[0], shape.dilations[0], shape.strides[0]
    field = dilation * (window - 1) + 1
    begin = (field - 1) // 2 if shape.edges == "same" else 0
    count = -(-len(row) // stride) if shape.edges == "same" else max(0, len(row) - field) // stride + 1
    outputs = []
    for t in range(count):
        z = layer.convolve.bias
        for i in range(window):
            place = stride * t + dilation * i - begin
            if 0 <= place < len(row):
                z = z + layer.convolve.weight[:, :, i] @ row[place]
        outputs.append(z)
    return torch.stack(outputs)


@pytest.mark.parametrize("options", SHAPES)
def test_delays_equal_their_equation(options):
    shape = TimeDelayConfig(channels=(4,), **options)
    layer = TimeDelay(3, shape, 0).double()
    y = layer(Padded.stack(rows()))
    for i, row in enumerate(rows()):
        truth = equation(row, layer, shape)
        assert y.lengths[i] == len(truth)
        torch.testing.assert_close(y.data[i, : len(truth)], truth)
        assert not y.data[i, len(truth) :].any()


@pytest.mark.parametrize("norm", ["none", "sequence"])
@pytest.mark.parametrize("edges", ["valid", "same"])
def test_the_padding_s_values_are_not_read(edges, norm):
    """Not even where they are nan, nor in the batch's statistics, nor however much of it there is."""
    torch.manual_seed(1)
    shape = TimeDelayConfig(
        channels=(5, 4), windows=(3, 5), dilations=(1, 2), strides=(2, 1), edges=edges, norm=norm, activation="sigmoid"
    )
    encoder = TimeDelayEncoder(3, shape).double().train()
    clean = encoder(Padded.stack(rows()))
    assert (encoder.reduction, encoder.size) == (2, 4)
    nan = Padded.stack(rows(), fill=float("nan"))
    longer = Padded(torch.nn.functional.pad(nan.data, (0, 0, 0, 7), value=float("nan")), nan.lengths)
    for littered in (nan, longer):
        dirty = encoder(littered)
        assert dirty.lengths.equal(clean.lengths)
        torch.testing.assert_close(dirty.data[dirty.mask()], clean.data[clean.mask()], rtol=1e-12, atol=1e-12)
        assert not dirty.data[~dirty.mask()].any()
    if norm == "none":
        for i, row in enumerate(rows()):
            alone = encoder(Padded.stack([row])).data[0]
            torch.testing.assert_close(clean.data[i, : clean.lengths[i]], alone, rtol=1e-12, atol=1e-12)


def test_filters_read_the_samples_of_the_frames_and_are_learned_with_the_rest():
    torch.manual_seed(0)
    filters = TimeDomainFilters(sample_rate=800, filters=5, low_hz=20.0)
    shape = TimeDelayConfig(edges="same", waveform=True, filters=filters)
    encoder, clips = TimeDelayEncoder(8, shape).eval(), [torch.randn(n, 8) for n in (30, 7)]
    told = FilterBank(filters)(Padded.stack([clip.flatten() for clip in clips]))
    plain = TimeDelayEncoder(5, TimeDelayConfig(edges="same")).eval()
    plain.load_state_dict({k: v for k, v in encoder.state_dict().items() if not k.startswith("filters.")})
    expected = plain(encoder.filters.norm(told))
    found = encoder(Padded.stack(clips, fill=float("nan")))
    assert found.lengths.tolist() == [30, 7]
    torch.testing.assert_close(found.data, expected.data)
    encoder.train()(Padded.stack(clips)).data.square().sum().backward()
    assert encoder.filters.bank.wavelets.grad.abs().sum() > 0
    with pytest.raises(ValueError, match=r"16 numbers and the filters' hop 8 samples"):
        TimeDelayEncoder(16, shape)
    with pytest.raises(ValueError, match="waveform is off"):
        TimeDelayConfig(filters=filters)


def test_a_sequence_shorter_than_the_field_is_followed_by_zeros():
    torch.manual_seed(2)
    encoder = TimeDelayEncoder(3, TimeDelayConfig(windows=(6,))).double()
    row = torch.randn(4, 3, dtype=torch.float64)
    filled = torch.cat((row, torch.zeros(2, 3, dtype=torch.float64)))
    short, whole = encoder(Padded.stack([row])), encoder(Padded.stack([filled]))
    assert short.lengths.tolist() == whole.lengths.tolist() == [1]
    torch.testing.assert_close(short.data, whole.data)


def test_same_edges_give_a_step_for_each_stride():
    """What a CTC model above asks: ceil(T / reduction)."""
    shape = TimeDelayConfig(channels=(2, 2), windows=(4, 3), dilations=(1, 1), strides=(2, 3), edges="same")
    encoder = TimeDelayEncoder(3, shape)
    lengths = torch.arange(1, 30)
    out = encoder(Padded(torch.randn(29, 29, 3), lengths))
    assert out.lengths.tolist() == [-(-n // 6) for n in range(1, 30)]
    assert out.data.shape == (29, 5, 2)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_the_gradient(activation):
    torch.manual_seed(3)
    encoder = TimeDelayEncoder(3, TimeDelayConfig(strides=(2,), activation=activation, norm="sequence")).double()
    x = Padded.stack(rows())
    x.data.requires_grad_()
    assert torch.autograd.gradcheck(lambda data: encoder(Padded(data, x.lengths)).data, x.data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": []}, "windows needs an entry"),
        ({"channels": [], "windows": [], "dilations": [], "strides": []}, "no layer"),
        ({"windows": [3, 3]}, "windows needs an entry"),
        ({"strides": [0]}, "strides is at least 1"),
        ({"edges": "full"}, "edges is one of"),
        ({"activation": "gelu"}, "activation is one of"),
        ({"norm": "batch"}, "norm is one of"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_shapes_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TimeDelayConfig(**options)
