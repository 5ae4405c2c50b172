"""The time-delay network: the paper's counts, its equations, its read-outs."""

import pytest
import torch

from models.interface import Batch, Classifier, Padded
from models.layers.time_delay import TimeDelay
from models.tdnn_classifier import Config, moments

torch.set_num_threads(1)

FRAME, VOCABULARY = 8, 7  # as in test_contract.py
DEEP = {
    "channels": [16, 16, 12],
    "windows": [5, 3, 1],
    "dilations": [1, 2, 1],
    "strides": [2, 1, 1],
    "activation": "relu",
    "norm": "sequence",
}
VARIANTS = [
    {},
    DEEP | {"readout": "statistics", "dropout": 0.1},
    DEEP | {"readout": "mean", "edges": "same", "activation": "tanh", "norm": "none"},
    DEEP | {"readout": "evidence", "edges": "same", "evidence_window": 3, "members": 3},
]


def test_the_paper_s_network():
    """16 bands, 15 frames, /b, d, g/: 13 and 9 steps of hidden units; free parameters and connections by hand."""
    model = Config().build(16, 3)
    assert isinstance(model, Classifier)
    assert sum(p.numel() for p in model.parameters()) == 8 * (16 * 3 + 1) + 3 * (8 * 5 + 1) + 3 * 2 == 521
    steps, connections = [], 0

    def count(layer, _, output):
        nonlocal connections
        steps.append(output.data.shape[1])
        connections += output.data.shape[1] * sum(p.numel() for p in layer.parameters())

    for layer in model.modules():
        if isinstance(layer, TimeDelay):
            layer.register_forward_hook(count)
    model.classify(Padded(torch.randn(1, 15, 16), torch.tensor([15])))
    assert steps == [13, 9]
    assert connections + 3 * (9 + 1) == 6233


def test_the_paper_s_equations():
    """A score for each label as sums over delays and time, one number at a time."""
    torch.manual_seed(0)
    model = Config().build(4, 3).double()
    for p in model.parameters():
        torch.nn.init.normal_(p)
    frames = torch.randn(9, 4, dtype=torch.float64)
    first, second = model.members[0].encoder.delays[0].convolve, model.members[0].readout.units.delays[0].convolve
    h1 = [
        torch.sigmoid(sum(first.weight[:, :, i] @ frames[t + i] for i in range(3)) + first.bias) for t in range(9 - 2)
    ]
    h2 = [torch.sigmoid(sum(second.weight[:, :, i] @ h1[t + i] for i in range(5)) + second.bias) for t in range(7 - 4)]
    z = [model.members[0].readout.gain[k] * sum(h[k] for h in h2) + model.members[0].readout.bias[k] for k in range(3)]
    torch.testing.assert_close(model.classify(Padded.stack([frames]))[0], torch.stack(z).log_softmax(0))


def test_evidence_does_not_depend_on_where_it_is_heard():
    """Shift invariance, what the delays are for: a sound in silence, early or late."""
    torch.manual_seed(0)
    model = Config().build(4, 3).double()
    sound = torch.randn(5, 4, dtype=torch.float64)
    heard = []
    for begin in (6, 11):
        frames = torch.zeros(22, 4, dtype=torch.float64)
        frames[begin : begin + 5] = sound
        heard.append(model.classify(Padded.stack([frames])))
    torch.testing.assert_close(*heard, rtol=1e-12, atol=1e-12)


def test_moments_are_those_of_the_real_steps():
    torch.manual_seed(0)
    rows = [torch.randn(n, 3, dtype=torch.float64) for n in (6, 1, 4)]
    mean, variance = moments(Padded.stack(rows))
    torch.testing.assert_close(mean, torch.stack([r.mean(0) for r in rows]))
    torch.testing.assert_close(variance, torch.stack([r.var(0, correction=0) for r in rows]))


@pytest.mark.parametrize("options", VARIANTS)
def test_every_length_can_be_classified(options):
    """From one frame on, and alone as in a batch."""
    torch.manual_seed(0)
    model = Config(**options).build(FRAME, VOCABULARY).double().eval()
    rows = [torch.randn(n, FRAME, dtype=torch.float64) for n in (1, 2, 3, 5, 8, 13, 40)]
    together = model.classify(Padded.stack(rows, fill=float("nan")))
    alone = torch.cat([model.classify(Padded.stack([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together.exp().sum(1), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": "last"}, "readout is one of"),
        ({"evidence_window": 0}, "evidence_window"),
        ({"channels": [8, 8]}, "windows needs an entry"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)


def test_members_answer_with_the_mean_of_their_probabilities_and_learn_each_alone():
    torch.manual_seed(0)
    model = Config(**DEEP, readout="mean", members=3).build(FRAME, VOCABULARY).double().eval()
    source = Padded(torch.randn(2, 9, FRAME, dtype=torch.float64), torch.tensor([9, 5]))
    target = Padded(torch.tensor([[4], [5]]), torch.tensor([1, 1]))
    alone = [member(source) for member in model.members]
    assert not torch.allclose(alone[0], alone[1])
    torch.testing.assert_close(model.classify(source).exp(), sum(p.exp() for p in alone) / 3, rtol=1e-12, atol=0)
    loss = model.loss(Batch(("a", "b"), source, target))
    expected = -sum(p[0, 4] + p[1, 5] for p in alone) / 3
    torch.testing.assert_close(loss.total, expected)
    assert loss.count == 2
    with pytest.raises(ValueError, match="members is at least 1"):
        Config(members=0)
