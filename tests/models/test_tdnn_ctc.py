"""The time-delay network under CTC: its context, its lengths, and what its config refuses."""

import pytest
import torch

from models.interface import EmissionModel, Padded
from models.tdnn_ctc import Config

torch.set_num_threads(1)

SMALL = {"channels": [24, 24, 24], "windows": [5, 2, 1], "dilations": [1, 3, 1], "strides": [2, 1, 1]}
HEARS = {"sample_rate": 800, "filters": 6, "low_hz": 20.0, "window_ms": 12.0}  # 8 samples a frame
VARIANTS = [
    SMALL,
    SMALL | {"norm": "none", "strides": [1, 1, 1], "activation": "clipped_relu"},
    SMALL | {"waveform": True, "filters": HEARS},
]


def test_parameters():
    with torch.device("meta"):
        model = Config().build(40, 29)
    layers = 600 * (5 * 40 + 1) + 3 * 600 * (2 * 600 + 1) + 600 * 601
    assert sum(p.numel() for p in model.parameters()) == layers + 5 * 2 * 600 + 601 * 29


def test_the_context_is_the_paper_s():
    """Which frames a step depends on, at full rate: [-2, 2] + {-1, 2} + {-3, 3} + {-4, 5}, from -10 to 12."""
    torch.manual_seed(0)
    model = Config(channels=(4,) * 5, strides=(1,) * 5, norm="none", activation="tanh").build(2, 3).double()
    x = torch.randn(1, 41, 2, dtype=torch.float64, requires_grad=True)
    model.emit(Padded(x, torch.tensor([41]))).data[0, 20].square().sum().backward()
    seen = (x.grad[0].abs().sum(1).nonzero().squeeze(1) - 20).tolist()
    expected = {a + b + c + d for a in range(-2, 3) for b in (-1, 2) for c in (-3, 3) for d in (-4, 5)}
    assert seen == sorted(expected)
    assert (seen[0], seen[-1]) == (-10, 12)


@pytest.mark.parametrize("options", VARIANTS)
def test_lengths_are_the_ceiling_and_padding_is_not_read(options):
    torch.manual_seed(0)
    model = Config(**options).build(8, 7).double().eval()
    assert isinstance(model, EmissionModel)
    rows = [torch.randn(n, 8, dtype=torch.float64) for n in (1, 2, 7, 12)]
    out = model.emit(Padded.stack(rows, fill=float("nan")))
    assert out.lengths.tolist() == [-(-n // model.reduction) for n in (1, 2, 7, 12)]
    for b, row in enumerate(rows):
        alone = model.emit(Padded.stack([row])).data[0]
        torch.testing.assert_close(out.data[b, : len(alone)], alone, rtol=1e-12, atol=1e-12)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="edges is same"):
        Config(edges="valid")
    with pytest.raises(ValueError, match="windows needs an entry"):
        Config(channels=(8, 8))
