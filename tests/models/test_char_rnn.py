"""The character language model: the lecture's numbers, each cell under the contract, what its config refuses."""

import pytest
import torch

from models.char_rnn import Config
from models.interface import Batch, LanguageModel, Padded

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "readout": [16]}
CELLS = [
    {"cell": "lstm", "layers": 2},
    {"cell": "gru", "learn_start": True},
    {"cell": "elman", "elman": {"nonlinearity": "relu"}, "initialize": {"recurrent": "identity", "bias": "zero"}},
    {"cell": "jordan"},
    {"cell": "lstm", "layers": 2, "lstm": {"layer_norm": True, "forget_bias": 1.0}},
    {"cell": "lstm", "lstm": {"peepholes": True, "gate_recurrence": True}, "learn_start": True},
    {"cell": "gru", "gru": {"layer_norm": True, "reset": "inside"}},
    {"cell": "deep_transition", "transition": {"depth": 3, "shortcut": True, "output_depth": 1}},
    {"cell": "echo_state", "hidden_size": 64},
    {"cell": "lstm", "zoneout": 0.1, "zoneout_cell": 0.2, "weight_noise": 0.01, "input_noise": 0.01},
]
ONLINE = {"embedding_size": 0, "readout": [], "recurrent": {"cell": "elman_rtrl", "hidden_size": 24}}
VARIANTS = [*(SMALL | {"recurrent": {"hidden_size": 24} | cell} for cell in CELLS), ONLINE]


def test_the_lecture_s_network():
    with torch.device("meta"):
        model = Config().build(0, 105)
    assert sum(p.numel() for p in model.parameters()) == 111_657
    lstm = 4 * 64 * (64 + 64) + 2 * 4 * 64
    assert 105 * 64 + 2 * lstm + 65 * 128 + 129 * 128 + 129 * 105 == 111_657
    assert isinstance(model, LanguageModel)


def test_the_loss_is_the_chain_rule():
    """log p of a sentence, a factor at a time, from the model's own steps."""
    torch.manual_seed(0)
    model = Config(**VARIANTS[0]).build(0, 7).double().eval()
    state, total = model.start(None, 1), 0.0
    for read, written in ((1, 4), (4, 6), (6, 2)):
        log_probs, state, _ = model.step(torch.tensor([read]), state, None)
        total -= log_probs[0, written]
    batch = Batch(("a",), None, Padded.stack([torch.tensor([4, 6])]))
    torch.testing.assert_close(model.loss(batch).total, total)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"readout": [0]}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"recurrent": {"bidirectional": True}}, "reads forward"),
        ({"recurrent": {"pyramid": 2}}, "reads forward"),
        ({"recurrent": {"cell": "tanh"}}, "cell is one of"),
        ({"recurrent": {"cell": "gru", "lstm": {"peepholes": True}}}, "options of another cell"),
        ({"recurrent": {"cell": "gru", "zoneout_cell": 0.1}}, "zoneout_cell"),
        ({"recurrent": {"dropout": 0.1}}, "between layers"),
        ({"recurrent": {"layers": 0}}, "at least 1"),
        ({"recurrent": {"weight_noise": -1.0}}, "not negative"),
        ({"recurrent": {"cell": "echo_state", "initialize": {"bias": "zero"}}}, "has its own"),
        ({"recurrent": {"initialize": {"recurrent": "random"}}}, "initialize.recurrent is one of"),
        ({"recurrent": {"initialize": {"bias": "zero", "bias_scale": 2.0}}}, "has no scale"),
        ({"recurrent": {"lstm": {"coupled": True, "input_gate": False}}}, "needs both"),
        ({"recurrent": {"lstm": {"gate_recurrence": True, "coupled": True}}}, "gate_recurrence"),
        ({"recurrent": {"lstm": {"forget_bias": 1.0, "forget_gate": False}}}, "forget_bias"),
        ({"recurrent": {"lstm": {"drop": 1.0}}}, "lstm.drop"),
        ({"recurrent": {"cell": "gru", "gru": {"reset": "before"}}}, "reset is"),
        ({"recurrent": {"cell": "elman", "elman": {"nonlinearity": "gelu"}}}, "nonlinearity"),
        ({"recurrent": {"cell": "deep_transition", "transition": {"depth": 0}}}, "depth"),
        ({"recurrent": {"cell": "deep_transition", "transition": {"depth": 1, "shortcut": True}}}, "shortcut"),
        ({"recurrent": {"cell": "echo_state", "echo": {"leak": 0.0}}}, "leak"),
        ({"recurrent": {"cell": "echo_state", "echo": {"spectral_radius": 0.0}}}, "spectral_radius"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)


def test_a_stream_is_aligned():
    model = Config(**VARIANTS[0]).build(0, 7)
    one, two = (Padded(torch.zeros(1, n, dtype=torch.long), torch.tensor([n])) for n in (3, 4))
    with pytest.raises(ValueError, match="one shape"):
        model.loss(Batch(("a",), one, two))
    with pytest.raises(AssertionError, match="no memory"):
        model.start(one, 1)
