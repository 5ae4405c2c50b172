"""The transducer's searches against the list of all alignments, on nets of a few symbols."""

import itertools
import math

import pytest
import torch
from torch import nn

from models import char_rnn, rnn_transducer
from models.criteria.transducer import transducer
from models.interface import Beam, Padded, Transducer
from models.search.language.ngram_lm import Level, NGram
from models.search.transducer.beam import hash_codes, start_search, transducer_beam
from models.search.transducer.predictor_cache import PredictorCache
from models.special_tokens import EOS

torch.set_num_threads(1)

FRAME, VOCABULARY = 3, 4
SMALL = {
    "encoder": {"layers": 1, "hidden_size": 4, "bidirectional": True},
    "embedding_size": 3,
    "prediction": {"layers": 1, "hidden_size": 5},
    "linear_size": 0,
    "joint_size": 6,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    model = rnn_transducer.Config(**SMALL).build(FRAME, VOCABULARY)
    for value in model.parameters():
        nn.init.normal_(value, std=0.9)
    nn.init.zeros_(model.embedding.weight[0])
    with torch.no_grad():
        model.output.bias[0] += 0.7
    return model.double().eval()


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(3)
    return Padded.stack([torch.randn(n, FRAME, dtype=torch.float64) for n in (4, 2, 3, 1)])


@pytest.fixture(scope="module")
def lm():
    torch.manual_seed(4)
    lm = char_rnn.Config(embedding_size=3, recurrent={"hidden_size": 4}, readout=()).build(0, VOCABULARY)
    for value in lm.parameters():
        nn.init.normal_(value, std=0.8)
    return lm.double().eval()


def row(source, b):
    return Padded(source.data[b : b + 1, : source.lengths[b]], source.lengths[b : b + 1])


def alignments(tokens, steps, symbols):
    """Every way to share out tokens over the steps, the step of each."""
    for places in itertools.combinations_with_replacement(range(steps), len(tokens)):
        if all(places.count(t) <= symbols for t in set(places)):
            yield places


def log_prob(log_probs, tokens, places):
    """log p of an alignment from (T, U + 1, V), and the sum of its tokens' alone."""
    total = sure = 0.0
    for u, (token, t) in enumerate(zip(tokens, places, strict=True)):
        sure += float(log_probs[t, u, token])
    for t in range(len(log_probs)):
        total += float(log_probs[t, sum(place <= t for place in places), 0])
    return total + sure, sure


def lm_log_prob(lm, tokens):
    state, total, read = lm.start(None, 1), 0.0, 1
    for token in (*tokens, EOS):
        log_probs, state, _ = lm.step(torch.tensor([read]), state, None)
        total, read = total + float(log_probs[0, token]), token
    return total


@torch.no_grad()
def enumerated(model, one, beam, lm, symbols):
    """(score, tokens, places of the best alignment, confidence) of all texts, best first."""
    found = []
    frames = model.encode(one).data[0]
    for length in range(beam.max_length + 1):
        for tokens in itertools.product(range(1, VOCABULARY), repeat=length):
            prefixes = model.prefixes(Padded.stack([torch.tensor(tokens, dtype=torch.long)]))[0]
            log_probs = model.join(frames[:, None].expand(-1, length + 1, -1), prefixes[None])
            ways = [(*log_prob(log_probs, tokens, p), p) for p in alignments(tokens, len(frames), symbols)]
            if not ways:
                continue
            score = float(torch.tensor([way[0] for way in ways], dtype=torch.float64).logsumexp(0))
            if beam.lm_weight:
                score += beam.lm_weight * lm_log_prob(lm, tokens)
            best = max(ways)
            confidence = math.exp(best[1] / length) if length else math.nan
            found.append((score + beam.insertion_bonus * length, tokens, best[2], confidence))
    return sorted(found, key=lambda one: -one[0])


@pytest.mark.parametrize(
    "terms", [{}, {"lm_weight": 0.6}, {"insertion_bonus": 1.5}, {"lm_weight": 0.4, "insertion_bonus": -0.5}]
)
@pytest.mark.parametrize("symbols", [1, 2, 3])
def test_a_wide_beam_is_the_enumeration(model, source, lm, terms, symbols):
    beam = Beam(width=45, max_length=3, **terms)
    assert isinstance(model, Transducer)
    found = transducer_beam(model, source, beam, lm, symbols=symbols)
    for b, nbest in enumerate(found):
        truth = enumerated(model, row(source, b), beam, lm, symbols)
        assert [h.tokens for h in nbest] == [one[1] for one in truth]
        assert [h.score for h in nbest] == pytest.approx([one[0] for one in truth], abs=1e-9)
        assert [h.spans for h in nbest] == [tuple((t, t + 1) for t in one[2]) for one in truth]
        assert [h.confidence for h in nbest] == pytest.approx([one[3] for one in truth], abs=1e-9, nan_ok=True)


def test_the_score_is_the_loss(model, source):
    """Where every alignment is kept: -log p(y | x)."""
    found = transducer_beam(model, source, Beam(width=120, max_length=4), symbols=4)
    frames = model.encode(source)
    for b, nbest in enumerate(found):
        assert len(nbest) == 120
        for h in nbest[:20]:
            target = Padded.stack([torch.tensor(h.tokens, dtype=torch.long)])
            one = Padded(frames.data[b : b + 1, : frames.lengths[b]], frames.lengths[b : b + 1])
            loss = transducer(one, model.prefixes(target), model.output, target)
            assert h.score == pytest.approx(-float(loss.total.detach()), abs=1e-9)


@torch.no_grad()
def greedy(model, frames, max_length, symbols):
    """One utterance (T, J), a symbol at a time."""
    (prefix, state), tokens, places, total = model.start(1), [], [], 0.0
    for t, frame in enumerate(frames):
        for emitted in range(symbols + 1):
            log_p = model.join(frame[None], prefix)[0]
            token = 0 if emitted == symbols or len(tokens) == max_length else int(log_p.argmax())
            total += float(log_p[token])
            if not token:
                break
            tokens.append(token)
            places.append(t)
            prefix, state = model.predict(torch.tensor([token]), state)
    return tuple(tokens), total, tuple((t, t + 1) for t in places)


@pytest.mark.parametrize(("max_length", "symbols"), [(20, 1), (20, 2), (20, 4), (3, 2), (1, 3)])
def test_width_one_is_greedy(model, max_length, symbols):
    torch.manual_seed(5)
    source = Padded.stack([torch.randn(n, FRAME, dtype=torch.float64) * 2 for n in (9, 12, 1, 7)])
    found = transducer_beam(model, source, Beam(width=1, max_length=max_length), symbols=symbols)
    frames, written = model.encode(source), 0
    for b, (h,) in enumerate(found):
        tokens, score, spans = greedy(model, frames.data[b, : frames.lengths[b]], max_length, symbols)
        assert (h.tokens, h.spans) == (tokens, spans)
        assert h.score == pytest.approx(score, abs=1e-9)
        written += len(tokens)
    assert written > 3


@pytest.mark.parametrize(
    "beam", [Beam(width=1), Beam(width=2), Beam(width=5), Beam(width=3, lm_weight=0.5, insertion_bonus=0.4)]
)
def test_a_batch_is_its_utterances_alone(model, lm, beam):
    """Also the n-best sorted, distinct, and times that never go back; long enough that rows are given up."""
    torch.manual_seed(6)
    source = Padded.stack([torch.randn(n, FRAME, dtype=torch.float64) for n in (7, 25, 1, 16, 25)])
    together = transducer_beam(model, source, beam, lm, symbols=3)
    for b, nbest in enumerate(together):
        (alone,) = transducer_beam(model, row(source, b), beam, lm, symbols=3)
        assert [h.tokens for h in alone] == [h.tokens for h in nbest]
        assert [h.spans for h in alone] == [h.spans for h in nbest]
        assert [h.score for h in alone] == pytest.approx([h.score for h in nbest], abs=1e-9)
        assert len(nbest) == beam.width
        assert len({h.tokens for h in nbest}) == len(nbest)
        assert [h.score for h in nbest] == sorted((h.score for h in nbest), reverse=True)
        assert all(h.spans == tuple(sorted(h.spans)) and len(h.spans) == len(h.tokens) for h in nbest)
        assert all(math.isnan(h.confidence) if not h.tokens else 0 < h.confidence <= 1 for h in nbest)


def test_a_wider_beam_finds_more(model):
    torch.manual_seed(7)
    source = Padded.stack([torch.randn(n, FRAME, dtype=torch.float64) for n in (14, 10, 12)])
    best = [[nbest[0].score for nbest in transducer_beam(model, source, Beam(width=w))] for w in (2, 4, 32)]
    assert all(a <= c + 1e-9 and b <= c + 1e-9 for a, b, c in zip(*best, strict=True))


def test_prefixes_are_computed_once(model, source, monkeypatch):
    """The prediction network reads a prefix again only when it has long been gone."""
    read, predict = [], model.predict

    def watched(tokens, state):
        read.append(len(tokens))
        return predict(tokens, state)

    torch.manual_seed(8)
    source = Padded.stack([torch.randn(20, FRAME, dtype=torch.float64)])
    monkeypatch.setattr(model, "predict", watched)
    transducer_beam(model, source, Beam(width=4), symbols=2)
    assert sum(read) < 20 * 4 * 2


def test_rows_that_are_given_up_are_not_missed(model, lm, monkeypatch):
    torch.manual_seed(9)
    source = Padded.stack([torch.randn(n, FRAME, dtype=torch.float64) for n in (40, 12, 33)])
    given_up, keep = [], PredictorCache.keep

    def watched(self, rows):
        given_up.append(self.used)
        return keep(self, rows)

    monkeypatch.setattr(PredictorCache, "keep", watched)
    beam = Beam(width=4, lm_weight=0.3)
    found = transducer_beam(model, source, beam, lm, symbols=2)
    assert given_up
    begin = PredictorCache.__init__
    monkeypatch.setattr(
        PredictorCache, "__init__", lambda self, model, lm, batch, room: begin(self, model, lm, batch, 9999)
    )
    monkeypatch.setattr(PredictorCache, "keep", None)
    assert transducer_beam(model, source, beam, lm, symbols=2) == found


@pytest.mark.parametrize("width", [1, 4])
def test_frames_may_come_one_by_one(model, source, width):
    """What has been found so far is there at any time; at the end it is what the whole search finds."""
    one = row(source, 0)
    frames = model.encode(one).data[0]
    with torch.no_grad():
        search = start_search(model, 1, Beam(width=width), None, 4)
        for frame in frames:
            search.advance(frame[None])
            assert search.found()[0]
    assert search.found() == transducer_beam(model, one, Beam(width=width))


def test_fusion_with_an_ngram(model, source):
    ngram = NGram((Level(torch.arange(VOCABULARY), torch.tensor([-99.0, -99, -0.3, -0.4]), torch.empty(0)),))
    plain = transducer_beam(model, source, Beam(width=4, lm_weight=0.3, max_length=3), ngram)
    assert all(set(h.tokens) <= {2, 3} for nbest in plain for h in nbest)


def test_what_it_has_not_is_refused(model, source, lm):
    for options in ({"coverage": 0.1}, {"length_norm": 0.1}, {"word_bonus": 1.0}, {"skip_blank": 0.9}):
        with pytest.raises(ValueError, match=f"no {next(iter(options))}"):
            transducer_beam(model, source, Beam(**options))
    with pytest.raises(ValueError, match="no language model"):
        transducer_beam(model, source, Beam(lm_weight=0.5))
    with pytest.raises(ValueError, match="cannot take"):
        transducer_beam(model, source, Beam(lm_weight=-0.5), lm)
    for options in ({"lm_weight": 0.5}, {"insertion_bonus": 0.5}):
        with pytest.raises(ValueError, match="width 1"):
            transducer_beam(model, source, Beam(width=1, **options), lm)
    other = char_rnn.Config(embedding_size=3, recurrent={"hidden_size": 4}, readout=()).build(0, VOCABULARY + 1)
    with pytest.raises(ValueError, match="one tokenizer"):
        transducer_beam(model, source, Beam(lm_weight=0.5), other.double())
    broken = Padded(source.data.clone(), source.lengths)
    broken.data[1, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="utterance 2 of 4 holds NaN"):
        transducer_beam(model, broken, Beam())


@pytest.mark.parametrize("width", [1, 4])
def test_no_utterance_and_no_frame(model, source, width):
    assert transducer_beam(model, Padded(source.data[:0], source.lengths[:0]), Beam(width=width)) == []
    ((h,), *others) = transducer_beam(model, Padded(source.data, torch.tensor([0, 2, 3, 1])), Beam(width=width))
    assert (h.tokens, h.score) == ((), 0.0)
    assert all(len(nbest) == width for nbest in others)


def test_prefixes_have_numbers_of_their_own():
    numbers = hash_codes(1000)
    assert len(set(numbers.tolist())) == 1000
    assert torch.equal(numbers, hash_codes(1000))
