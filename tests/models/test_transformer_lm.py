"""The Transformer as a language model: its size, what a prediction depends on, and a growing cache in every search."""

import pytest
import torch

from models.interface import Batch, Beam, LanguageModel, Padded
from models.search.asg.beam import asg_beam
from models.search.attention.beam import attention_beam
from models.search.ctc.beam import ctc_beam
from models.search.transducer.beam import transducer_beam
from models.special_tokens import EOS
from models.transformer import Config as Translator
from models.transformer_lm import Config

torch.set_num_threads(1)

SMALL = {"size": 16, "heads": 2, "feed_forward_size": 32, "layers": 2, "dropout": 0.0}
VARIANTS = [
    SMALL,
    SMALL | {"positions": "rotary", "norm": "pre", "context": 4, "tie_output": False},
    SMALL | {"context": 0},
]
variants = pytest.mark.parametrize("options", VARIANTS)


def small(**options):
    torch.manual_seed(0)
    return Config(**(SMALL | options)).build(0, 7).double().eval()


def test_parameters_of_the_base_size():
    with torch.device("meta"):
        model = Config().build(0, 10_000)
    layer = 4 * 512**2 + 2 * 512 * 2048 + 2048 + 512 + 4 * 512
    assert sum(p.numel() for p in model.parameters()) == 6 * layer + 10_000 * 512
    assert isinstance(model, LanguageModel)


@variants
def test_a_prediction_depends_on_its_context_and_on_nothing_else(options):
    """Of one layer on `context` tokens, of each further one on context - 1 more; none later than the token read."""
    model, inputs = small(**options), []
    reach = model.config.layers * (model.config.context - 1) + 1 if model.config.context else 12
    model.embedding.register_forward_hook(lambda _, __, output: inputs.append(output.requires_grad_()))
    log_probs, _ = model.predict(Padded(torch.arange(12)[None] % 7, torch.tensor([12])), None)
    for t in range(12):
        (slope,) = torch.autograd.grad(log_probs.data[0, t].square().sum(), inputs[0], retain_graph=True)
        reached = slope[0].abs().sum(1) > 0
        assert reached.nonzero().flatten().tolist() == list(range(max(0, t - reach + 1), t + 1))


def test_rotary_positions_know_no_beginning():
    """Of a stream that goes on far beyond the context, the beginning has no say, nor has how long ago it was."""
    model = small(positions="rotary", context=3)
    torch.manual_seed(1)
    tokens = torch.randint(7, (1, 30))
    late, _ = model.predict(Padded(tokens, torch.tensor([30])), None)
    early, _ = model.predict(Padded(tokens[:, 20:], torch.tensor([10])), None)
    torch.testing.assert_close(late.data[:, -3:], early.data[:, -3:], rtol=1e-9, atol=1e-9)


@variants
def test_states_hold_no_more_than_the_context(options):
    model = small(**options)
    _, state = model.predict(Padded(torch.ones(2, 9, dtype=torch.long), torch.tensor([9, 5])), None)
    kept = model.config.context - 1 if 0 < model.config.context < 9 else 9
    assert {layer.shape[:2] for layer in state.steps} == {(2, kept)}
    assert state.read.tolist() == [9, 5]


def sentence(model, tokens):
    """log p(tokens EOS)."""
    target = Padded.stack([torch.tensor(tokens, dtype=torch.long)])
    return -float(model.loss(Batch(("a",), None, target)).total.detach())


def emissions():
    torch.manual_seed(3)
    return Padded(torch.randn(2, 4, 7).double().log_softmax(-1), torch.tensor([4, 3]))


def fuse(search, model):
    """The scores of a wide search with and without the model are apart by its chain rule, for every text."""
    alone = [{h.tokens: h.score for h in nbest} for nbest in search(Beam(width=300), None)]
    found = search(Beam(width=300, lm_weight=0.7), model)
    assert all(len(nbest) > 40 for nbest in found)
    for scores, nbest in zip(alone, found, strict=True):
        for hypothesis in nbest[::9]:
            if hypothesis.tokens in scores:
                truth = scores[hypothesis.tokens] + 0.7 * sentence(model, hypothesis.tokens)
                assert hypothesis.score == pytest.approx(truth, abs=1e-6)


@variants
def test_a_ctc_search_fuses_it(options):
    fuse(lambda beam, lm: ctc_beam(emissions(), beam, lm), small(**options))


@variants
def test_an_asg_search_fuses_it(options):
    torch.manual_seed(2)
    transitions = torch.randn(7, 7).double()
    fuse(lambda beam, lm: asg_beam(emissions(), transitions, beam, lm), small(**options))


class Lattice:
    """A transducer of which each token depends on the frame and on the last token."""

    def __init__(self):
        torch.manual_seed(5)
        self.table = torch.randn(7, 7).double()

    def encode(self, source):
        return source

    def start(self, batch_size):
        return self.table[torch.zeros(batch_size, dtype=torch.long)], torch.zeros(batch_size, 0)

    def predict(self, tokens, state):
        return self.table[tokens], state

    def join(self, frames, prefixes):
        return (frames + prefixes).log_softmax(-1)


@variants
def test_a_transducer_search_fuses_it(options):
    """In a beam that keeps every text of 2 frames and a token at most in each."""
    torch.manual_seed(6)
    source = Padded(torch.randn(2, 2, 7).double(), torch.tensor([2, 2]))
    fuse(lambda beam, lm: transducer_beam(Lattice(), source, beam, lm, symbols=1), small(**options))


def test_an_attention_search_fuses_it():
    torch.manual_seed(0)
    sizes = {"size": 16, "heads": 2, "feed_forward_size": 32, "encoder_layers": 1, "decoder_layers": 1}
    translator, model = Translator(**sizes).build(7, 7).double().eval(), small()
    memory = translator.encode(Padded.stack([torch.tensor([4, 5, 6]), torch.tensor([5])]))
    alone = attention_beam(translator, memory, Beam(width=200, max_length=3))
    found = attention_beam(translator, memory, Beam(width=200, max_length=3, lm_weight=0.7), model)
    for nbest, fused in zip(alone, found, strict=True):
        scores = {h.tokens: h.score for h in nbest}
        assert len(fused) > 20
        for h in fused:
            if len(h.tokens) < 3:
                assert h.score == pytest.approx(scores[h.tokens] + 0.7 * sentence(model, h.tokens), abs=1e-9)
            assert EOS not in h.tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "at least 1"),
        ({"context": 1}, "context"),
        ({"positions": "learned"}, "one of sinusoidal"),
        ({"heads": 5}, "do not divide"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
