"""Wav2Letter: the paper's counts, both criteria, and what its config refuses."""

import pytest
import torch

from models.criteria.asg import asg
from models.interface import Batch, Beam, EmissionModel, Padded
from models.wav2letter import Config

torch.set_num_threads(1)

SMALL = {
    "channels": [12, 16, 16],
    "windows": [6, 3, 1],
    "dilations": [1, 1, 1],
    "strides": [2, 1, 1],
}
VARIANTS = [SMALL, SMALL | {"criterion": "ctc"}, SMALL | {"norm": "sequence", "activation": "tanh", "dropout": 0.1}]


def test_parameters_of_the_paper_s_net():
    """39 cepstra and 30 letters; "23 million parameters" (section 3.2)."""
    with torch.device("meta"):
        model = Config().build(39, 30)
        waves = Config(
            channels=(250, *Config().channels),
            windows=(250, *Config().windows),
            dilations=(1, *Config().dilations),
            strides=(160, *Config().strides),
        ).build(1, 30)
    body = 250 * (39 * 48 + 1) + 7 * 250 * (250 * 7 + 1) + 2000 * (250 * 32 + 1) + 2000 * 2001
    assert sum(p.numel() for p in model.parameters()) == body + 2001 * 30 + 30 * 30 == 23_597_430
    assert model.reduction == 2
    assert waves.reduction == 320


@pytest.mark.parametrize("options", VARIANTS)
def test_lengths_are_the_ceiling_and_padding_is_not_read(options):
    torch.manual_seed(0)
    model = Config(**options).build(8, 7).double().eval()
    assert isinstance(model, EmissionModel)
    rows = [torch.randn(n, 8, dtype=torch.float64) for n in (1, 2, 7, 12)]
    out = model.emit(Padded.stack(rows, fill=float("nan")))
    assert out.lengths.tolist() == [1, 1, 4, 6]
    for b, row in enumerate(rows):
        alone = model.emit(Padded.stack([row])).data[0]
        torch.testing.assert_close(out.data[b, : len(alone)], alone, rtol=1e-12, atol=1e-12)


def test_transitions_are_the_criterion_s():
    """Scores that are not normalized give the same loss, and both searches know the transitions."""
    torch.manual_seed(0)
    model = Config(**SMALL).build(8, 7).double().eval()
    torch.nn.init.normal_(model.transitions)
    batch = Batch(
        ("a",),
        Padded(torch.randn(1, 12, 8, dtype=torch.float64), torch.tensor([12])),
        Padded(torch.tensor([[4, 4, 5]]), torch.tensor([3])),
    )
    h = model.encoder(batch.source)
    scores = Padded(model.output(h.data), h.lengths)
    torch.testing.assert_close(model.loss(batch).total, asg(scores, batch.target, model.transitions).total)
    best = [model.search(batch.source, Beam(width=w))[0][0].tokens for w in (1, 4)]
    with torch.no_grad():
        model.transitions.fill_(-50.0).fill_diagonal_(0.0)  # no path changes its symbol any more
    stuck = [model.search(batch.source, Beam(width=w))[0][0].tokens for w in (1, 4)]
    assert all(len(tokens) <= 1 for tokens in stuck)
    assert stuck != best


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "rnnt"}, "criterion is asg or ctc"),
        ({"edges": "valid"}, "edges is same"),
        (SMALL | {"windows": [6, 3]}, "windows needs an entry"),
        (SMALL | {"activation": "swish"}, "activation is one of"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
