"""The beam over continuations against the list of all of them; and text drawn at random against its distribution."""

import itertools
import math

import pytest
import torch

from models import char_rnn, gated_conv_lm
from models.interface import Beam, Padded
from models.search.attention import beam as attention_beam
from models.search.attention.continuation_beam import continuation_beam
from models.search.language.text_generator import SamplingConfig, generate_tokens, sample_token
from models.special_tokens import BLANK, BOS, EOS, UNK

torch.set_num_threads(1)

VOCABULARY = 8
LETTERS = [v for v in range(VOCABULARY) if v not in (BLANK, BOS, EOS, UNK)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    model = char_rnn.Config(embedding_size=4, recurrent={"hidden_size": 6}, readout=()).build(0, VOCABULARY)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.8)
    return model.double().eval()


SOURCES = Padded.stack([torch.tensor(w) for w in ([1, 4], [3], [1, 3, 3, 4])])


def log_prob(model, source, tokens):
    """log p(tokens | source) by stepping, a factor at a time."""
    state, total = model.start(None, 1), 0.0
    for k, read in enumerate([*source, *tokens[:-1]]):
        log_probs, state, _ = model.step(torch.tensor([read]), state, None)
        if k >= len(source) - 1:
            total += float(log_probs[0, tokens[k - len(source) + 1]].detach())
    return total


def all_continuations(model, source, beam):
    for length in range(beam.max_length + 1):
        for y in itertools.product(LETTERS, repeat=length):
            written = y if length == beam.max_length else (*y, EOS)
            told = log_prob(model, source, written)
            score = told / ((5 + length) / 6) ** beam.length_norm + beam.insertion_bonus * length
            yield score, y, math.exp(told / len(written))


@pytest.mark.parametrize("terms", [{}, {"length_norm": 0.7}, {"insertion_bonus": 0.9}, {"length_norm": 2.0}])
def test_a_wide_beam_is_the_enumeration(model, terms):
    beam = Beam(width=200, max_length=3, **terms)
    found = continuation_beam(model, SOURCES, beam, None)
    for source, length, nbest in zip(SOURCES.data.tolist(), SOURCES.lengths.tolist(), found, strict=True):
        truth = sorted(all_continuations(model, source[:length], beam), reverse=True)
        assert len(nbest) == len(truth) == 1 + 4 + 16 + 64
        assert [h.tokens for h in nbest] == [y for _, y, _ in truth]
        assert [h.score for h in nbest] == pytest.approx([score for score, _, _ in truth])
        assert [h.confidence for h in nbest] == pytest.approx([p for _, _, p in truth])


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("terms", [{}, {"length_norm": 0.7}, {"insertion_bonus": 0.9}])
def test_stopping_early_loses_nothing(model, width, terms, monkeypatch):
    beam = Beam(width=width, max_length=6, **terms)
    found = continuation_beam(model, SOURCES, beam, None)
    assert all(len(nbest) == width for nbest in found)
    monkeypatch.setattr(attention_beam, "_open", lambda live, *_: (live.scores > -torch.inf).any(1).tolist())
    assert continuation_beam(model, SOURCES, beam, None) == found


def test_width_one_is_greedy(model):
    found = continuation_beam(model, SOURCES, Beam(width=1, max_length=7), None)
    for source, length, nbest in zip(SOURCES.data.tolist(), SOURCES.lengths.tolist(), found, strict=True):
        state, written = model.start(None, 1), []
        for token in source[:length]:
            log_probs, state, _ = model.step(torch.tensor([token]), state, None)
        while len(written) < 7:
            token = max((EOS, *LETTERS), key=log_probs[0].tolist().__getitem__)
            if token == EOS:
                break
            written.append(token)
            log_probs, state, _ = model.step(torch.tensor([token]), state, None)
        assert nbest[0].tokens == tuple(written)
        assert len(nbest) == 1


def test_a_batch_is_its_sources_alone(model):
    beam = Beam(width=3, max_length=6, length_norm=0.5)
    together = continuation_beam(model, SOURCES, beam, None)
    for i, nbest in enumerate(together):
        n = SOURCES.lengths[i : i + 1]
        (alone,) = continuation_beam(model, Padded(SOURCES.data[i : i + 1, :n], n), beam, None)
        assert [h.tokens for h in alone] == [h.tokens for h in nbest]
        assert [h.score for h in alone] == pytest.approx([h.score for h in nbest])


@pytest.mark.parametrize("config", [char_rnn.Config(), gated_conv_lm.Config(blocks=(((3, 8),), ((1, 8), (2, 8))))])
def test_sources_of_one_token(config):
    """Nothing is read before it: the search begins where the model does."""
    torch.manual_seed(2)
    model, beam = config.build(0, VOCABULARY).double().eval(), Beam(width=200, max_length=2)
    found = continuation_beam(model, Padded.stack([torch.tensor([BOS]), torch.tensor([4])]), beam)
    for token, nbest in zip((BOS, 4), found, strict=True):
        truth = sorted(all_continuations(model, [token], beam), reverse=True)
        assert [h.tokens for h in nbest] == [y for _, y, _ in truth]


def test_what_it_has_not_is_refused(model):
    for options in ({"coverage": 0.1}, {"lm_weight": 0.1}):
        with pytest.raises(ValueError, match="no coverage and no lm_weight"):
            continuation_beam(model, SOURCES, Beam(**options), None)
    with pytest.raises(ValueError, match="no lm_weight"):
        continuation_beam(model, SOURCES, Beam(), model)
    with pytest.raises(ValueError, match="one token or more"):
        continuation_beam(model, Padded(SOURCES.data, torch.tensor([2, 0, 4])), Beam(), None)
    assert continuation_beam(model, Padded(SOURCES.data[:0], SOURCES.lengths[:0]), Beam(), None) == []


LOGITS = torch.tensor([0.4, -0.3, 1.5, 0.9, -1.0]).double()


def expected(how):
    """The distribution by its definition, token by token."""
    left = {v: float(p) for v, p in enumerate((LOGITS / how.temperature).softmax(0)) if v not in how.forbidden}
    ranked = sorted(left, key=lambda v: -left[v])[: how.top_k or None]
    mass, kept = sum(left[v] for v in ranked), []
    for v in ranked:
        kept.append(v)
        if sum(left[u] for u in kept) / mass >= how.top_p:
            break
    total = sum(left[v] for v in kept)
    return torch.tensor([left[v] / total if v in kept else 0.0 for v in range(5)]).double()


@pytest.mark.parametrize(
    "how",
    [
        SamplingConfig(),
        SamplingConfig(temperature=0.5),
        SamplingConfig(temperature=2.0, top_k=3),
        SamplingConfig(top_k=9),
        SamplingConfig(top_p=0.6),
        SamplingConfig(top_p=1e-6),
        SamplingConfig(temperature=1.3, top_k=4, top_p=0.8, forbidden=(2,)),
    ],
)
def test_what_is_drawn(how):
    rows = 40_000
    drawn = sample_token(LOGITS.log_softmax(0).expand(rows, -1), how, torch.Generator().manual_seed(0))
    seen, truth = torch.bincount(drawn, minlength=5) / rows, expected(how)
    assert not seen[truth == 0].any()
    assert ((seen - truth).abs() <= 5 * (truth * (1 - truth) / rows).sqrt()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("how", [{}, {"top_k": 3}, {"top_p": 0.7}])
def test_the_temperature_may_fall_to_nothing(dtype, how):
    """Towards 0 it is the greedy choice, down to the smallest number there is."""
    torch.manual_seed(0)
    log_probs = torch.randn(50, 9, dtype=dtype).log_softmax(-1)
    greedy = sample_token(log_probs, SamplingConfig(temperature=0, forbidden=(2,)), torch.Generator())
    for temperature in (1e-5, 1e-40, 1e-320, 5e-324):
        drawn = sample_token(
            log_probs, SamplingConfig(temperature=temperature, forbidden=(2,), **how), torch.Generator()
        )
        assert torch.equal(drawn, greedy)


def test_temperature_zero_is_greedy(model):
    text = generate_tokens(
        model, SOURCES, SamplingConfig(temperature=0.0, forbidden=(BLANK, BOS, UNK)), torch.Generator()
    )
    drawn = torch.stack([next(text) for _ in range(7)], 1).tolist()
    greedy = continuation_beam(model, SOURCES, Beam(width=1, max_length=7), None)
    for row, nbest in zip(drawn, greedy, strict=True):
        row = row[: row.index(EOS)] if EOS in row else row
        assert tuple(row) == nbest[0].tokens


def test_the_seed_decides(model):
    def text(seed):
        drawn = generate_tokens(model, SOURCES, SamplingConfig(), torch.Generator().manual_seed(seed))
        return torch.stack([next(drawn) for _ in range(50)])

    assert torch.equal(text(1), text(1))
    assert not torch.equal(text(1), text(2))


def test_text_follows_the_model(model):
    """Pairs of tokens after one context, against their probabilities by the chain rule."""
    rows = 20_000
    context = Padded(torch.tensor([[1, 4]]).expand(rows, -1), torch.full((rows,), 2))
    text = generate_tokens(model, context, SamplingConfig(), torch.Generator().manual_seed(3))
    pairs = torch.bincount(next(text) * VOCABULARY + next(text), minlength=VOCABULARY**2) / rows
    truth = [log_prob(model, [1, 4], [a, b]) for a in range(VOCABULARY) for b in range(VOCABULARY)]
    truth = torch.tensor(truth).exp()
    assert ((pairs - truth).abs() <= 5 * (truth * (1 - truth) / rows).sqrt()).all()


def test_sampling_refuses(model):
    nan, inf = float("nan"), float("inf")
    wrong = [{"temperature": t} for t in (-1.0, nan, inf, -inf)] + [{"top_p": p} for p in (0.0, 1.5, nan)]
    for options in (*wrong, {"top_k": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            SamplingConfig(**options)
    with pytest.raises(ValueError, match="one token or more"):
        generate_tokens(model, Padded(SOURCES.data, torch.tensor([2, 0, 4])), SamplingConfig(), torch.Generator())
