"""What every architecture must satisfy. A file added to models/ is tested here without being named.

Its test, tests/models/test_<architecture>.py, names the small configs to try: `VARIANTS`, a list of options.
"""

import importlib
import json
from pathlib import Path

import pytest
import torch

import models
from models.criteria.token_cross_entropy import append_eos, prepend_bos
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import (
    Batch,
    Beam,
    Classifier,
    EmissionModel,
    FrameSynchronousModel,
    LanguageModel,
    Padded,
)
from models.layers.decoder.scheduled_sampling import Sampling
from models.registry import build, describe_config
from models.search.state_pytree import select_rows
from models.special_tokens import BOS

torch.set_num_threads(1)

NOT_ARCHITECTURES = {"__init__", "interface", "registry", "special_tokens"}
ARCHITECTURES = sorted(p.stem for p in Path(models.__path__[0]).glob("*.py") if p.stem not in NOT_ARCHITECTURES)
CASES = [
    pytest.param((name, options), id=f"{name}-{i}")
    for name in ARCHITECTURES
    for i, options in enumerate(importlib.import_module(f"test_{name}").VARIANTS)
]
FRAME, VOCABULARY = 8, 7


@pytest.fixture(params=CASES)
def model(request):
    name, options = request.param
    torch.manual_seed(0)
    return build(name, options, FRAME, VOCABULARY).eval()


WORDS = [[4, 5, 5, 6], [6, 4], [5]]


def written(model):
    """What each of the three targets says: the words; for a classifier one label each, their first token."""
    return [w[:1] for w in WORDS] if isinstance(model, Classifier) else WORDS


@pytest.fixture
def batch(model):
    """Three utterances, every token 6 frames of its own one-hot band or, where tokens are read, itself; else text."""
    target = Padded.stack([torch.tensor(w) for w in written(model)])
    if isinstance(model, LanguageModel):
        return Batch(("a", "b", "c"), None, target)
    if model.reads == "tokens":
        return Batch(("a", "b", "c"), Padded.stack([torch.tensor(w) for w in WORDS]), target)
    sources = [torch.eye(FRAME)[w].repeat_interleave(6, 0) for w in WORDS]
    for source in sources:
        source[5::6] = 0  # a pause, so that a doubled token can be heard
    return Batch(("a", "b", "c"), Padded.stack(sources), target)


@pytest.fixture
def stream(model):
    """Text of three lengths, each token with the next one, for language models."""
    if not isinstance(model, LanguageModel):
        pytest.skip("not a language model")
    torch.manual_seed(3)
    texts = [torch.randint(VOCABULARY, (n + 1,)) for n in (9, 4, 6)]
    sources, targets = (Padded.stack([t[part] for t in texts]) for part in (slice(-1), slice(1, None)))
    return Batch(("a", "b", "c"), sources, targets)


def row(batch, i):
    def of(x):
        return x and Padded(x.data[i : i + 1, : x.lengths[i]], x.lengths[i : i + 1])

    return Batch(batch.keys[i : i + 1], of(batch.source), of(batch.target))


def test_every_parameter_learns(model, batch):
    model.train().loss(batch).mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_bfloat16_training_is_near_float32_training(model, batch):
    """Under autocast, as a GPU trains: the same loss but for rounding, and a gradient of the same direction."""
    found = []
    for low in (False, True):
        model.zero_grad()
        torch.manual_seed(0)  # of what is drawn in training
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = model.eval().loss(batch).mean()
        loss.backward()
        gradients = [p.grad.double().flatten() for p in model.parameters() if p.grad is not None]
        found.append((loss.detach().double(), torch.cat(gradients)))
    (loss, gradient), (low_loss, low_gradient) = found
    torch.testing.assert_close(low_loss, loss, rtol=0.03, atol=0.03)
    assert torch.cosine_similarity(gradient, low_gradient, 0) > 0.95


def in_float64(batch):
    if batch.source is None or not batch.source.data.is_floating_point():
        return batch
    return Batch(batch.keys, Padded(batch.source.data.double(), batch.source.lengths), batch.target)


def check_padding(model, batch):
    """In float64: at initialization a leak is as small as float32 noise."""
    alone = [model.loss(row(batch, i)) for i in range(3)]
    torch.testing.assert_close(model.loss(batch).total, sum(loss.total for loss in alone), rtol=1e-9, atol=1e-9)
    assert model.loss(batch).count == sum(loss.count for loss in alone)


def test_padding_changes_nothing(model, batch):
    model, batch = model.double(), in_float64(batch)
    check_padding(model, batch)
    if isinstance(model, EmissionModel):
        together = model.emit(batch.source)
        for i in range(3):
            one = model.emit(row(batch, i).source).data[0]
            assert len(one) == together.lengths[i]
            torch.testing.assert_close(together.data[i, : len(one)], one, rtol=1e-9, atol=1e-9)


def test_padding_changes_nothing_in_a_stream(model, stream):
    check_padding(model.double(), stream)


def test_a_stream_in_chunks_is_the_stream(model, stream):
    """The state carried over a cut is all that the past is worth, also for rows that end before it."""
    model = model.double()
    whole, last = model.advance(stream, None)
    torch.testing.assert_close(whole.total, model.loss(stream).total, rtol=1e-9, atol=1e-9)
    state, total, count = None, 0.0, 0
    for begin, end in ((0, 1), (1, 5), (5, 9)):
        lengths = (stream.source.lengths - begin).clamp(0, end - begin)
        parts = [Padded(x.data[:, begin:end], lengths) for x in (stream.source, stream.target)]
        loss, state = model.advance(Batch(stream.keys, *parts), state)
        total, count = total + loss.total, count + loss.count
    assert count == whole.count == 19
    torch.testing.assert_close(total, whole.total, rtol=1e-9, atol=1e-9)
    after = torch.full((3, 1), 4), torch.ones(3, dtype=torch.long)
    one, other = (model.predict(Padded(*after), ended)[0].data for ended in (state, last))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_stepping_equals_the_parallel_pass(model, stream):
    model = model.double()
    together, _ = model.predict(stream.source, None)
    torch.testing.assert_close(together.data.exp().sum(-1), torch.ones(3, 9).double())
    assert model.encode(None) is None
    state = model.start(None, 3)
    for t in range(9):
        log_probs, state, _ = model.step(stream.source.data[:, t], state, None)
        real = stream.source.lengths > t
        torch.testing.assert_close(log_probs[real], together.data[real, t], rtol=1e-9, atol=1e-9)
    rows = torch.tensor([2, 0, 0])
    chosen, _, _ = model.step(torch.tensor([5, 5, 6]), select_rows(state, rows), None)
    every, _, _ = model.step(torch.tensor([5, 5, 5]), state, None)
    torch.testing.assert_close(chosen[:2], every[rows[:2]], rtol=1e-9, atol=1e-9)


def test_stepping_equals_the_teacher_forced_pass(model, batch):
    """Two hypotheses a source, side by side; and what pairs score is what their steps say."""
    if not isinstance(model, SequenceToSequence):
        pytest.skip("it writes no target")
    model, batch = model.double(), in_float64(batch)
    memory, read, ends = model.encode(batch.source), prepend_bos(batch.target), append_eos(batch.target)
    together = model.predict(memory, read).log_softmax(-1)
    state, told = model.start(memory, 6), torch.zeros(3, dtype=torch.float64)
    for u in range(read.data.shape[1]):
        tokens = torch.stack((read.data[:, u], read.data[:, u] * 0 + 5), 1)  # beside each, one that reads 5 always
        step = model.step(tokens.flatten(), state, memory)
        state, real = step.state, read.lengths > u
        torch.testing.assert_close(step.log_probs[::2][real], together[real, u], rtol=1e-9, atol=1e-9)
        told += step.log_probs[::2].gather(1, ends.data[:, u : u + 1])[:, 0] * real
        if step.attention is not None:
            torch.testing.assert_close(step.attention.sum(1), torch.ones(6).double())
    torch.testing.assert_close(model.score(batch), told, rtol=1e-9, atol=1e-9)
    rows = torch.tensor([4, 0, 0])
    chosen, _, _ = model.step(torch.tensor([5, 5, 6]), select_rows(state, rows), select_rows(memory, rows // 2))
    every, _, _ = model.step(torch.tensor([5, 5, 5, 5, 5, 5]), state, memory)
    torch.testing.assert_close(chosen[:2], every[rows[:2]], rtol=1e-9, atol=1e-9)


def test_a_model_of_text_takes_no_sound(model, batch):
    if not isinstance(model, SequenceToSequence) or model.reads != "tokens":
        pytest.skip("it reads no source text")
    sound = Batch(batch.keys, Padded(torch.randn(3, 4, FRAME), batch.source.lengths), batch.target)
    with pytest.raises(ValueError, match="its source is tokens"):
        model.loss(sound)


def test_no_sources_are_no_hypotheses(model, batch):
    """Also without memory for them, as a dry run asks."""
    if not isinstance(model, SequenceToSequence):
        pytest.skip("it writes no target")
    for device in ("cpu", "meta"):
        none = Padded(batch.source.data[:0].to(device), batch.source.lengths[:0])
        assert model.to(device).search(none, Beam(width=2)) == []


def test_sampled_training_is_the_seed_s_and_ends_with_training(model, batch):
    if not isinstance(model, SequenceToSequence):
        pytest.skip("it writes no target")
    truth = model.loss(batch).total.detach()
    model.sampling = Sampling(rate=1.0, decay="linear", slope=0.5)
    for dropout in (m for m in model.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0

    def loss(updates, seed=1):
        torch.manual_seed(seed)
        model.set_updates(updates)
        return model.train().loss(batch).total.detach()

    torch.testing.assert_close(loss(0), truth)
    assert loss(1) == loss(1) != loss(0)
    assert len({float(loss(2, seed)) for seed in range(4)}) > 1
    torch.testing.assert_close(model.eval().loss(batch).total.detach(), truth, rtol=0, atol=0)


def test_loss_counts_targets_not_padding(model, batch):
    tokens = sum(map(len, written(model)))
    assert model.loss(batch).count in (tokens, tokens + 3)  # with EOS for autoregressive models


def test_config_survives_json(model, batch):
    spec = json.loads(json.dumps(describe_config(model.config)))
    twin = build(spec["architecture"], spec["options"], FRAME, VOCABULARY).eval()
    assert twin.config == model.config
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin.loss(batch).total, model.loss(batch).total, rtol=0, atol=0)


def test_a_source_is_needed(model, batch):
    if not isinstance(model, LanguageModel):
        with pytest.raises(ValueError, match="needs a source"):
            model.loss(Batch(batch.keys, None, batch.target))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_defaults_can_be_built(name):
    """Without memory for their weights. What each has to have, its own test says."""
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name, {}, 161, 29).parameters()) > 1000


def test_learns_and_reads_back(model, batch):
    """The end of the whole chain: overfit three utterances, then search must return them.

    A language model goes on after BOS and the first token of each.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(80):
        optimizer.zero_grad()
        model(batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    source, expected = batch.source, [tuple(w) for w in written(model)]
    if source is None:
        source, expected = Padded.stack([torch.tensor([BOS, w[0]]) for w in WORDS]), [w[1:] for w in expected]
    for width in (1, 4):
        found = model.search(source, Beam(width=width, max_length=8))
        assert [nbest[0].tokens for nbest in found] == expected
        if isinstance(model, FrameSynchronousModel):
            with torch.no_grad():  # with gradients a layer may take another kernel, which rounds otherwise
                again = model.search_emissions(model.emit(source), Beam(width=width, max_length=8))
            assert [[h[:3] for h in nbest] for nbest in again] == [[h[:3] for h in nbest] for nbest in found]
        assert all(len(h.spans) in (0, len(h.tokens)) for nbest in found for h in nbest)
