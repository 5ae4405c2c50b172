"""Bahdanau's attention: the paper's sizes by hand, and its equations a step at a time."""

import pytest
import torch

from models.bahdanau import Config
from models.interface import Decoder, Padded
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "hidden_size": 16, "attention_size": 12, "maxout_size": 12, "initial_deviation": 0.3}
VARIANTS = [SMALL, SMALL | {"reset": "outside", "label_smoothing": 0.05, "sampling": {"rate": 0.05}}]
VARIANTS += [SMALL | {"professor_forcing": {"weight": 1.0, "hidden_size": 8}}]


def gru(inputs, units):
    return 3 * units * (inputs + units + 2)  # torch has two biases


def test_parameters_of_the_paper_s_net():
    with torch.device("meta"):
        model = Config().build(30_001, 30_001)
    recurrent = 2 * gru(620, 1000) + gru(620 + 2000, 1000)
    attention = (1000 + 1) * 1000 + 2000 * 1000 + 1000
    read_out = (1000 + 620 + 2000 + 1) * 1000 + (500 + 1) * 30_001
    truth = 2 * 30_001 * 620 + recurrent + attention + (1000 + 1) * 1000 + read_out
    assert sum(p.numel() for p in model.parameters()) == truth == 80_453_741


def test_it_begins_as_the_paper_says():
    torch.manual_seed(0)
    model = Config(hidden_size=60, embedding_size=50, attention_size=40).build(70, 70)
    for gate in model.cell.weight_hh.detach().split(60):
        torch.testing.assert_close(gate @ gate.T, torch.eye(60), rtol=1e-5, atol=1e-5)
    others = [
        p for n, p in model.named_parameters() if p.dim() > 1 and "weight_hh" not in n and "attention.weight" not in n
    ]
    assert all(0.008 < float(p.detach().std()) < 0.012 for p in others)
    assert not any(p.detach().any() for n, p in model.named_parameters() if "bias" in n)


def test_one_step_is_its_equations():
    """h of both directions, s_0, c, s and p from the weights alone; with the reset inside the product."""
    torch.manual_seed(0)
    model, h = Config(**SMALL).build(9, 8).double().eval(), []
    assert isinstance(model, Decoder)
    for value in (p for n, p in model.named_parameters() if "bias" in n):
        torch.nn.init.normal_(value)
    tokens = [5, 7, 4, EOS]

    def step(cell, x, s):
        (wr, wz, wn), (ur, uz, un) = cell.weight_ih.chunk(3), cell.weight_hh.chunk(3)
        (br, bz, bn), (cr, cz, cn) = cell.bias_ih.chunk(3), cell.bias_hh.chunk(3)
        r, z = (wr @ x + br + ur @ s + cr).sigmoid(), (wz @ x + bz + uz @ s + cz).sigmoid()
        return z * s + (1 - z) * (wn @ x + bn + un @ (r * s) + cn).tanh()

    both = model.encoder.layers[0]
    for cell, order in ((both.ahead.cell, tokens), (both.back.cell, tokens[::-1])):
        states, s = [], torch.zeros(16).double()
        for token in order:
            s = step(cell, model.source_embedding.weight[token], s)
            states.append(s)
        h.append(states)
    h = torch.stack([torch.cat(pair) for pair in zip(h[0], h[1][::-1], strict=True)])
    s = (model.begin.weight @ h[0, 16:] + model.begin.bias).tanh()
    memory = model.encode(Padded.stack([torch.tensor(tokens[:-1])]))
    state, a = model.start(memory, 1), model.attention
    for token in (BOS, 6):
        found = model.step(torch.tensor([token]), state, memory)
        state, e = found.state, model.embedding.weight[token]
        energies = [a.weight[0] @ (a.query.weight @ s + a.query.bias + a.key.weight @ h_j).tanh() for h_j in h]
        alpha = torch.stack(energies).softmax(0)
        t = model.hidden.weight @ torch.cat((s, e, alpha @ h)) + model.hidden.bias
        t = torch.maximum(t[0::2], t[1::2])
        logits = model.output.weight @ t + model.output.bias
        torch.testing.assert_close(found.log_probs[0], logits.log_softmax(0), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.attention[0], alpha, rtol=1e-9, atol=1e-9)
        s = step(model.cell, torch.cat((e, alpha @ h)), s)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "at least 1"),
        ({"reset": "beside"}, "outside or inside"),
        ({"dropout": 1.0}, "dropout"),
        ({"initial_deviation": 0.0}, "above 0"),
        ({"sampling": {"decay": "exponential", "k": 2.0}}, "sampling.k"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
