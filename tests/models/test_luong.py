"""Luong's attention: the paper's sizes by hand, every score and reach from its equation, a step at a time."""

import itertools
import math

import pytest
import torch

from models.interface import Decoder, Padded
from models.layers.decoder.luong_attention import LuongAttention
from models.luong import Config
from models.special_tokens import BOS

torch.set_num_threads(1)

LSTM = {"layers": 2, "hidden_size": 16}
SMALL = {"embedding_size": 12, "recurrent": LSTM, "dropout": 0.0, "initial_range": 0.3, "window": 2}
VARIANTS = [
    SMALL,
    SMALL | {"score": "dot", "reach": "global", "reverse_source": False, "input_feeding": False},
    SMALL | {"score": "concat", "reach": "local_m", "recurrent": LSTM | {"dropout": 0.05}},
]
LENGTHS = (9, 3, 1)


def test_parameters_of_the_paper_s_net():
    with torch.device("meta"):
        model = Config().build(50_000, 50_000)

    def lstm(inputs):
        return 4 * 1000 * (inputs + 1000 + 2)  # torch has two biases

    recurrent = 4 * lstm(1000) + lstm(2000) + 3 * lstm(1000)
    attention = 1000 * 1000 + 1000 * 1000 + 1000
    truth = 2 * 50_000 * 1000 + recurrent + attention + 2000 * 1000 + 50_000 * 1000
    assert sum(p.numel() for p in model.parameters()) == truth == 222_065_000
    assert isinstance(model, Decoder)


@pytest.mark.parametrize(
    ("score", "reach"), list(itertools.product(("dot", "general", "concat"), ("global", "local_m", "local_p")))
)
def test_it_is_its_equations(score, reach):
    """Two queries a source, of which one has written many tokens; NaN in the padding is not read."""
    torch.manual_seed(0)
    attention = LuongAttention(score, reach, 2, 6, 6).double()
    memory = Padded.stack([torch.randn(n, 6, dtype=torch.float64) for n in LENGTHS], fill=float("nan"))
    queries, written = torch.randn(6, 6, dtype=torch.float64), torch.tensor([0, 20, 1, 2, 0, 1])
    context, weights = attention(queries, attention.prepare(memory), written)
    for n, h_t in enumerate(queries):
        h, steps = memory.data[n // 2, : LENGTHS[n // 2]], LENGTHS[n // 2]
        if score == "dot":
            scores = [h_t @ h_s for h_s in h]
        elif score == "general":
            scores = [h_t @ attention.key.weight @ h_s for h_s in h]
        else:
            whole = torch.cat((attention.query.weight, attention.key.weight), 1)
            scores = [attention.weight.weight[0] @ (whole @ torch.cat((h_t, h_s))).tanh() for h_s in h]
        center = min(int(written[n]), steps - 1)
        if reach == "local_p":
            inner, last = attention.place[0].weight, attention.place[2].weight[0]
            center = steps / (1 + math.exp(-float((last @ (inner @ h_t).tanh()).detach())))
        near = [s for s in range(steps) if reach == "global" or abs(s - center) <= 2]
        share = torch.stack([scores[s] for s in near]).softmax(0)
        if reach == "local_p":
            factors = [math.exp(-((s - center) ** 2) / (2 * (2 / 2) ** 2)) for s in near]
            share = share * torch.tensor(factors, dtype=torch.float64)
        torch.testing.assert_close(context[n], share @ h[near], rtol=1e-9, atol=1e-9)
        told = torch.zeros(9, dtype=torch.float64)
        told[near] = share / share.sum()
        torch.testing.assert_close(weights[n], told, rtol=1e-9, atol=1e-9)


def test_what_is_attended_to_is_fed_back():
    torch.manual_seed(0)
    model = Config(**(SMALL | {"recurrent": {"hidden_size": 16}})).build(9, 8).double().eval()
    memory = model.encode(Padded.stack([torch.tensor([5, 7, 4])]))
    state, fed = model.start(memory, 1), torch.zeros(1, 16).double()
    (h, c), kernel = memory.data[1][0][:2], model.decoder.layers[0].kernel
    for t, token in enumerate((BOS, 6, 4)):
        found = model.step(torch.tensor([token]), state, memory)
        x = torch.cat((model.embedding.weight[token][None], fed), 1)
        weights = (kernel.weight_ih_l0, kernel.weight_hh_l0, kernel.bias_ih_l0, kernel.bias_hh_l0)
        h, c = torch.lstm_cell(x, (h, c), *weights)
        context, _ = model.attention(h, memory.data[0], torch.tensor([t]))
        fed, state = (torch.cat((context, h), 1) @ model.hidden.weight.T).tanh(), found.state
        torch.testing.assert_close(found.log_probs, model.output(fed).log_softmax(1), rtol=1e-9, atol=1e-9)


def test_the_memory_stands_in_the_order_of_the_source():
    """Read backwards, what depends on the last token alone, read first, is its own step; EOS is read last."""
    torch.manual_seed(0)
    model = Config(**SMALL).build(9, 8).double().eval()
    one, other = (model.encode(Padded.stack([torch.tensor(x)])).data[0].values[0] for x in ([5, 7, 4], [6, 7, 4]))
    torch.testing.assert_close(one[1:3], other[1:3], rtol=0, atol=0)
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[3], other[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "cosine"}, "one of dot"),
        ({"reach": "far"}, "one of global"),
        ({"window": 0}, "window"),
        ({"recurrent": {"bidirectional": True}}, "begins where its encoder ended"),
        ({"initial_range": 0.0}, "above 0"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
