"""GNMT: the paper's sizes by hand, and its decoder's equations a step at a time."""

import pytest
import torch

from models.gnmt import Config
from models.interface import Decoder, Padded
from models.special_tokens import BOS

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "hidden_size": 16, "encoder_layers": 3, "decoder_layers": 3, "attention_size": 12}
SMALL |= {"dropout": 0.0, "initial_range": 0.3}
VARIANTS = [SMALL, SMALL | {"encoder_layers": 2, "decoder_layers": 1, "label_smoothing": 0.05}]
VARIANTS += [SMALL | {"professor_forcing": {"weight": 1.0, "two_sided": True, "hidden_size": 8}}]


def lstm(inputs, units):
    return 4 * units * (inputs + units + 2)  # torch has two biases


def test_parameters_of_the_paper_s_net():
    with torch.device("meta"):
        model = Config().build(32_000, 32_000)
    encoder = 2 * lstm(1024, 1024) + lstm(2048, 1024) + 6 * lstm(1024, 1024)
    decoder, attention = 8 * lstm(2048, 1024), 1024 * 1025 + 1024 * 1024 + 1024
    truth = 2 * 32_000 * 1024 + encoder + decoder + attention + 32_000 * 1025
    assert sum(p.numel() for p in model.parameters()) == truth == 280_929_536
    assert isinstance(model, Decoder)


def test_the_decoder_s_equations():
    """The lowest layer's last output attends; every layer reads the context; the third adds its input."""
    torch.manual_seed(0)
    model = Config(**SMALL).build(9, 8).double().eval()
    memory = model.encode(Padded.stack([torch.tensor([5, 7, 4])]))
    h, keys = memory.data[0].split((16, 12), -1)
    state, a, own = model.start(memory, 1), model.attention, [(torch.zeros(16).double(),) * 2] * 3
    for token in (BOS, 6, 4):
        found = model.step(torch.tensor([token]), state, memory)
        query = a.query(own[0][0])
        alpha = torch.stack([a.weight[0] @ (query + key).tanh() for key in keys]).softmax(0)
        context, x, after = alpha @ h, model.embedding.weight[token], []
        for k, (layer, (s, c)) in enumerate(zip(model.decoder, own, strict=True)):
            kernel = layer.kernel
            gates = kernel.weight_ih_l0 @ torch.cat((x, context)) + kernel.bias_ih_l0
            i, f, n, o = (gates + kernel.weight_hh_l0 @ s + kernel.bias_hh_l0).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * n.tanh()
            s = o.sigmoid() * c.tanh()
            after.append((s, c))
            x = s + x if k == 2 else s
        own, state = after, found.state
        torch.testing.assert_close(found.log_probs[0], model.output(x).log_softmax(0), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.attention[0], alpha, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_layers": 1}, "two directions"),
        ({"decoder_layers": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
