"""The recurrent classifier: its equations, its read-outs at each sequence's own end, for frames and for tokens."""

import pytest
import torch
from torch import nn

from models.interface import Batch, Classifier, Padded
from models.sequence_classifier import Config

torch.set_num_threads(1)

FRAME, LABELS = 8, 7  # as in test_contract.py
VARIANTS = [
    {"recurrent": {"hidden_size": 12, "bidirectional": True}},
    {"source": "tokens", "embedding_size": 6, "recurrent": {"cell": "gru", "hidden_size": 16}, "dropout": 0.1},
    {
        "embedding_size": 6,
        "readout": "max",
        "recurrent": {"hidden_size": 12, "layers": 2, "pyramid": 2, "bidirectional": True, "learn_start": True},
    },
    {"readout": "mean", "recurrent": {"cell": "elman", "hidden_size": 16, "bidirectional": True}},
    {
        "source": "tokens",
        "embedding_size": 6,
        "readout": "mean",
        "recurrent": {"hidden_size": 12, "bidirectional": True, "zoneout": 0.1, "lstm": {"layer_norm": True}},
    },
]


def frames(*lengths):
    torch.manual_seed(1)
    return [torch.randn(n, FRAME, dtype=torch.float64) for n in lengths]


def test_the_last_states_of_torchs_own_network():
    """Both directions where they have read all of a sequence: what nn.LSTM returns as h_n for the sequence alone."""
    torch.manual_seed(0)
    model = Config(recurrent=VARIANTS[0]["recurrent"]).build(FRAME, LABELS).double()
    peer = nn.LSTM(FRAME, 12, bidirectional=True, batch_first=True).double()
    layer = model.recurrent.layers[0]
    for direction, ending in ((layer.ahead, ""), (layer.back, "_reverse")):
        for name, value in direction.kernel.named_parameters():
            getattr(peer, name + ending).data.copy_(value)
    rows = frames(9, 1, 4)
    found = model.classify(Padded.stack(rows))
    for row, log_probs in zip(rows, found, strict=True):
        _, (h, _) = peer(row[None])
        expected = model.output(torch.cat((h[0, 0], h[1, 0]))).log_softmax(-1)
        torch.testing.assert_close(log_probs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("readout", "pooled"), [("mean", lambda h: h.mean(0)), ("max", lambda h: h.amax(0)), ("last", lambda h: h[-1])]
)
def test_read_outs_of_the_real_steps_alone(readout, pooled):
    torch.manual_seed(0)
    model = Config(readout=readout, recurrent={"cell": "gru", "hidden_size": 5}).build(FRAME, LABELS).double()
    rows = frames(6, 2, 11)
    for row, log_probs in zip(rows, model.classify(Padded.stack(rows)), strict=True):
        h, _ = model.recurrent(Padded.stack([row]))
        torch.testing.assert_close(log_probs, model.output(pooled(h.data[0])).log_softmax(-1))


@pytest.mark.parametrize("options", VARIANTS)
def test_every_length_can_be_classified(options):
    """From one step on, alone as in a batch, whatever stands on the padding; and training reads no padding either."""
    torch.manual_seed(0)
    model = Config(**options).build(FRAME, LABELS).double().eval()
    lengths, tokens = (1, 2, 3, 5, 8, 13), model.reads == "tokens"
    rows = [torch.randint(FRAME, (n,)) for n in lengths] if tokens else frames(*lengths)
    padded = Padded.stack(rows, fill=FRAME + 5 if tokens else float("nan"))
    together = model.classify(padded)
    alone = torch.cat([model.classify(Padded.stack([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(together.exp().sum(1), torch.ones(len(rows), dtype=torch.float64))
    model.loss(Batch(tuple("abcdef"), padded, Padded.stack([torch.tensor([1])] * len(rows)))).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_order_of_the_steps_matters():
    """What a bag of words cannot tell."""
    torch.manual_seed(0)
    model = Config(source="tokens", embedding_size=4).build(FRAME, LABELS)
    one, other = model.classify(Padded.stack([torch.tensor([1, 2, 3]), torch.tensor([3, 2, 1])]))
    assert (one - other).abs().max() > 1e-3


def test_it_is_a_classifier_of_what_its_config_says():
    assert isinstance(Config().build(3, 2), Classifier)
    assert Config().build(3, 2).reads == "frames"
    assert Config(source="tokens", embedding_size=2).build(3, 2).reads == "tokens"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "pixels"}, "source is one of frames, tokens"),
        ({"readout": "first"}, "readout is one of last, mean, max"),
        ({"recurrent": {"bidirectional": True, "merge": "sum"}}, "readout last takes each direction"),
        ({"source": "tokens"}, "embedding_size"),
        ({"embedding_size": -1}, "embedding_size"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
