"""The trie's batched queries against the definition of back-off, looked up one n-gram at a time in a dictionary."""

import itertools
import math

import pytest
import torch
from ngram_tables import SIZE, Tables

from models.interface import Beam, Decoder, Padded
from models.search.ctc.beam import ctc_beam
from models.search.language.ngram_lm import ABSENT, NGramGenerator
from models.special_tokens import BLANK, BOS, EOS

torch.set_num_threads(1)


def contexts_of(size, length):
    """All that can come before a token: <s> first or not at all, no </s>."""
    inner = [w for w in range(EOS + 1, size)]
    for n in range(length + 1):
        for words in itertools.product(inner, repeat=n):
            yield words
            yield (BOS, *words)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_every_query_is_the_definition(order, density):
    tables = Tables(order, seed=order, density=density)
    model = tables.trie()
    contexts = list(contexts_of(SIZE, 4))
    padded = torch.zeros(len(contexts), 5, dtype=torch.long)
    for row, context in zip(padded, contexts, strict=True):
        row[5 - len(context) :] = torch.tensor(context, dtype=torch.long)
    state = model.read(padded)
    truth = torch.tensor([[tables.look_up(c, w) for w in range(SIZE)] for c in contexts], dtype=torch.float64)
    truth *= math.log(10)
    torch.testing.assert_close(model.log_probs(state), truth, rtol=0, atol=1e-6)
    for w in range(SIZE):
        alone = model.score_next(torch.full((len(contexts),), w), state)
        torch.testing.assert_close(alone, truth[:, w], rtol=0, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_stream_is_its_sentences_one_by_one(order):
    tables = Tables(order, seed=9)
    model = tables.trie()
    generator = torch.Generator().manual_seed(1)
    sentences = [torch.randint(EOS + 1, SIZE, (n,), generator=generator).tolist() for n in (4, 1, 9, 2)]
    stream = torch.tensor([w for y in sentences for w in (BOS, *y, EOS)])
    scores = model.score(stream)
    assert (scores[stream == BOS] == 0).all()
    ends = [0, *((stream == EOS).nonzero().squeeze(1) + 1).tolist()]
    for y, first, last in zip(sentences, ends, ends[1:], strict=False):
        assert float(scores[first:last].sum()) == pytest.approx(tables.log_prob(y), abs=1e-5)
        state = model.start(None, 1)
        stepped = 0.0
        for before, after in itertools.pairwise((BOS, *y, EOS)):
            log_probs, state, _ = model.step(torch.tensor([before]), state, None)
            stepped += float(log_probs[0, after])
        assert stepped == pytest.approx(tables.log_prob(y), abs=1e-5)


def test_a_state_has_its_batch_on_axis_0_and_starts_with_nothing():
    model = Tables(4).trie()
    assert isinstance(model, Decoder)
    assert model.encode(None) is None
    state = model.start(None, 3)
    assert state.shape == (3, 3)
    assert (state == ABSENT).all()
    step = model.step(torch.tensor([BOS, 5, 6]), state, None)
    assert step.log_probs.shape == (3, SIZE)
    alone = model.step(torch.tensor([5]), state[1:2], None)
    torch.testing.assert_close(step.log_probs[1:2], alone.log_probs, rtol=0, atol=0)
    torch.testing.assert_close(step.state[1:2], alone.state, rtol=0, atol=0)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_fusion_is_the_sum_over_all_alignments(order):
    tables, size, lengths = Tables(order, seed=order, size=5), 5, (5, 3)
    torch.manual_seed(order)
    rows = [(2 * torch.randn(n, size, dtype=torch.float64)).log_softmax(-1) for n in lengths]
    beam = Beam(width=400, lm_weight=0.7, insertion_bonus=-0.3)
    for i, nbest in enumerate(ctc_beam(Padded.stack(rows), beam, tables.trie())):
        sums: dict[tuple[int, ...], list[float]] = {}
        for path in itertools.product(range(size), repeat=lengths[i]):
            y = tuple(token for token, _ in itertools.groupby(path) if token != BLANK)
            sums.setdefault(y, []).append(sum(float(rows[i][t, c]) for t, c in enumerate(path)))
        truth = {
            y: float(torch.tensor(s, dtype=torch.float64).logsumexp(0)) + 0.7 * tables.log_prob(y) - 0.3 * len(y)
            for y, s in sums.items()
            if BOS not in y
        }
        assert {h.tokens: h.score for h in nbest} == pytest.approx(truth, abs=1e-5)
        assert nbest[0].tokens == max(truth, key=lambda y, t=truth: t[y])


def test_a_writer_goes_on_after_the_end_of_a_sentence():
    tables, generator = Tables(3, seed=4), torch.Generator().manual_seed(0)
    model = tables.trie()
    texts = [torch.randint(EOS, SIZE, (n,), generator=generator) for n in (6, 4)]
    found, state = NGramGenerator(model).predict(
        Padded.stack([torch.cat([torch.tensor([BOS]), t]) for t in texts]), None
    )
    for row, text in enumerate(texts):
        read = [BOS, *text.tolist()]
        for place in range(len(read)):
            begun = max(i for i in range(place + 1) if read[i] in (BOS, EOS))  # nothing before a sentence is read
            context = [BOS, *read[begun + 1 : place + 1]]
            truth = [tables.look_up(context, w) * math.log(10) for w in range(SIZE)]
            assert found.data[row, place].tolist() == pytest.approx(truth, abs=1e-6)
        step = NGramGenerator(model).step(torch.tensor([EOS]), state[row : row + 1], None)
        assert step.log_probs[0].tolist() == pytest.approx(found.data[row, 0].tolist())
