"""The gated convolutional language model: the paper's sizes, what a prediction depends on, and its use in a search."""

import pytest
import torch

from models.gated_conv_lm import GCNN_14B, Config
from models.interface import Batch, Beam, LanguageModel, Padded
from models.search.ctc.beam import ctc_beam

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "blocks": [[[4, 16]], [[1, 8], [3, 8], [1, 16]], [[1, 8], [2, 8], [1, 20]]]}
VARIANTS = [
    SMALL,
    SMALL | {"dropout": 0.1},
    {"embedding_size": 16, "blocks": [[[3, 16]], [[2, 16], [2, 16]]]},
    {"embedding_size": 16, "blocks": [[[1, 16]], [[5, 16]]]},
]


def small(options=SMALL):
    torch.manual_seed(0)
    return Config(**options).build(0, 7).double().eval()


def test_parameters_of_the_paper_s_network():
    """Layer by layer: W and V, b and c, a gain for each of their outputs; a shortcut where the size changes."""
    with torch.device("meta"):
        model = Config().build(0, 1000)
    assert isinstance(model, LanguageModel)
    assert len(GCNN_14B) == 14
    total, size = 1000 * 128, 128
    for block in GCNN_14B:
        before = size
        for kernel, outputs in block:
            total += 2 * outputs * (kernel * size + 2)
            size = outputs
        total += size * (before + 2) if size != before else 0
    assert sum(p.numel() for p in model.parameters()) == total + 1000 * (4096 + 1)


def test_a_prediction_depends_on_its_context_and_on_nothing_else():
    """By gradients: on as many embeddings as the kernels reach, none of them later than the token read."""
    model = small()
    context = model.config.context
    assert context == 1 + 3 + 2 + 1
    tokens = Padded(torch.arange(12)[None] % 7, torch.tensor([12]))
    inputs = []
    model.embedding.register_forward_hook(lambda _, __, output: inputs.append(output.requires_grad_()))
    log_probs, _ = model.predict(tokens, None)
    for t in range(12):
        (slope,) = torch.autograd.grad(log_probs.data[0, t].square().sum(), inputs[0], retain_graph=True)
        reached = slope[0].abs().sum(1) > 0
        assert reached.nonzero().flatten().tolist() == list(range(max(0, t - context + 1), t + 1))


def test_the_beginning_is_zeros_in_every_layer():
    """A first layer that reads k - 1 zeros, and not the embedding of some token, before a text."""
    model = small({"embedding_size": 5, "blocks": [[[3, 5]]]})
    first = torch.nn.functional.pad(model.embedding(torch.tensor([[2, 6]])).transpose(1, 2), (2, 0))
    convolved = torch.nn.functional.conv1d(
        first, model.blocks[0].gated[0].convolve.weight, model.blocks[0].gated[0].convolve.bias
    )
    h = convolved[:, :5] * convolved[:, 5:].sigmoid() + first[:, :, 2:]
    truth = model.output(h.transpose(1, 2)).log_softmax(-1)
    torch.testing.assert_close(model.predict(Padded.stack([torch.tensor([2, 6])]), None)[0].data, truth)


def test_the_loss_is_the_chain_rule():
    """log p of a sentence, a factor at a time, from the model's own steps."""
    model = small()
    state, total = model.start(None, 1), 0.0
    for read, written in ((1, 4), (4, 6), (6, 2)):
        log_probs, state, _ = model.step(torch.tensor([read]), state, None)
        total -= log_probs[0, written]
    torch.testing.assert_close(model.loss(Batch(("a",), None, Padded.stack([torch.tensor([4, 6])]))).total, total)


def test_tokens_beyond_a_length_are_not_read():
    model = small()
    tokens = torch.randint(7, (2, 9))
    other = tokens.clone()
    other[1, 4:] = (other[1, 4:] + 1) % 7
    lengths = torch.tensor([9, 4])
    (one, state), (two, twin) = (model.predict(Padded(t, lengths), None) for t in (tokens, other))
    torch.testing.assert_close(one.data[1, :4], two.data[1, :4], rtol=0, atol=0)
    for layer, same in zip(sum(state, ()), sum(twin, ()), strict=True):
        torch.testing.assert_close(layer, same, rtol=0, atol=0)


def test_fusion_in_a_ctc_search():
    """Its state, some of it empty (kernels of width 1), goes through a beam: every fused score is the chain rule's.

    The width holds all sentences that 3 steps can carry (equal neighbors need a blank).
    """
    model = small()
    emissions = Padded(torch.randn(2, 3, 7).double().log_softmax(-1), torch.tensor([3, 2]))
    plain, fused = Beam(width=400), Beam(width=400, lm_weight=0.7)
    alone = [{h.tokens: h.score for h in nbest} for nbest in ctc_beam(emissions, plain)]
    assert len(alone[0]) == 1 + 6 + 36 + 6 * 5 * 5
    for scores, nbest in zip(alone, ctc_beam(emissions, fused, model), strict=True):
        for hypothesis in nbest[::7]:
            y = torch.tensor(hypothesis.tokens, dtype=torch.long)
            lm = -float(model.loss(Batch(("a",), None, Padded.stack([y]))).total.detach())
            assert hypothesis.score == pytest.approx(scores[hypothesis.tokens] + 0.7 * lm, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": []}, "one block"),
        ({"blocks": [[]]}, "one layer"),
        ({"blocks": [[[0, 4]]]}, "at least 1"),
        ({"blocks": [[[3, 0]]]}, "at least 1"),
        ({"embedding_size": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)


def test_a_language_model_has_no_memory():
    with pytest.raises(AssertionError, match="no memory"):
        small().start(Padded(torch.zeros(1, 1, 1), torch.tensor([1])), 1)
