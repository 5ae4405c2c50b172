"""The RNN encoder-decoder: the paper's sizes by hand, and its equations a step at a time."""

import pytest
import torch

from models.encoder_decoder import Config
from models.interface import Decoder, Padded
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {"rank": 12, "hidden_size": 20, "maxout_size": 12, "initial_deviation": 0.3}
VARIANTS = [SMALL, SMALL | {"label_smoothing": 0.05, "sampling": {"rate": 0.05}}]


def test_parameters_of_the_paper_s_net():
    with torch.device("meta"):
        model = Config().build(15_000, 15_000)
    encoder = 3 * 1000 * (100 + 1000 + 2)  # torch has two biases
    decoder = 3 * 1000 * (100 + 1 + 1000 + 1000) + 2 * 1000 * 1001
    read_out = 1000 * (1000 + 100 + 1 + 1000) + 500 * 100 + 15_000 * 101
    truth = 2 * 15_000 * 100 + encoder + decoder + read_out
    assert sum(p.numel() for p in model.parameters()) == truth == 18_277_000
    assert isinstance(model, Decoder)


def test_its_equations():
    """c from the source; h', s and p of two steps, the context in each of them."""
    torch.manual_seed(0)
    model = Config(**SMALL).build(9, 8).double().eval()
    for value in (p for n, p in model.named_parameters() if "bias" in n):
        torch.nn.init.normal_(value)
    (layer,) = model.encoder.layers
    wr, wz, wn = layer.cell.weight_ih.chunk(3)
    ur, uz, un = layer.cell.weight_hh.chunk(3)
    br, bz, bn = (layer.cell.bias_ih + layer.cell.bias_hh).chunk(3)
    h = torch.zeros(20).double()
    for token in (5, 7, 4, EOS):
        e = model.source_embedding.weight[token]
        r, z = (wr @ e + ur @ h + br).sigmoid(), (wz @ e + uz @ h + bz).sigmoid()
        h = z * h + (1 - z) * (wn @ e + un @ (r * h) + bn).tanh()
    c = model.summary(h).tanh()
    h = model.begin(c).tanh()
    memory = model.encode(Padded.stack([torch.tensor([5, 7, 4])]))
    state = model.start(memory, 1)
    (ur, uz, un), (cr, cz, cn) = model.recurrent.weight.chunk(3), model.context.weight.chunk(3)
    for token in (BOS, 6):
        found = model.step(torch.tensor([token]), state, memory)
        state, e = found.state, model.embedding.weight[token]
        xr, xz, xn = model.input(e).chunk(3)
        r, z = (xr + ur @ h + cr @ c).sigmoid(), (xz + uz @ h + cz @ c).sigmoid()
        h = z * h + (1 - z) * (xn + r * (un @ h + cn @ c)).tanh()
        s = model.hidden(torch.cat((h, e))) + model.hidden_context(c)
        logits = model.output(model.right(torch.maximum(s[0::2], s[1::2])))
        torch.testing.assert_close(found.log_probs[0], logits.log_softmax(0), rtol=1e-9, atol=1e-9)
        assert found.attention is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"initial_deviation": 0.0}, "above 0"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
