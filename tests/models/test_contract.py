"""What every architecture must satisfy. A file added to models/ is tested here without being named.

Its test, tests/models/test_<architecture>.py, names the small configs to try: `VARIANTS`, a list of options.
"""

import importlib
import json
from pathlib import Path

import pytest
import torch

import models
from models.interface import Batch, Beam, Emitter, Padded, build, describe

torch.set_num_threads(1)

NOT_ARCHITECTURES = {"__init__", "interface", "vocabulary"}
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


@pytest.fixture
def batch():
    """Three utterances in which every token is 6 frames of its own one-hot band."""
    words = [[4, 5, 5, 6], [6, 4], [5]]
    sources = [torch.eye(FRAME)[w].repeat_interleave(6, 0) for w in words]
    for source in sources:
        source[5::6] = 0  # a pause, so that a doubled token can be heard
    return Batch(("a", "b", "c"), Padded.stack(sources), Padded.stack([torch.tensor(w) for w in words]))


def row(batch, i):
    s, t = batch.source, batch.target
    return Batch(
        batch.keys[i : i + 1],
        Padded(s.data[i : i + 1, : s.lengths[i]], s.lengths[i : i + 1]),
        Padded(t.data[i : i + 1, : t.lengths[i]], t.lengths[i : i + 1]),
    )


def test_every_parameter_learns(model, batch):
    model.train().loss(batch).mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_padding_changes_nothing(model, batch):
    """In float64: at initialisation a leak is as small as float32 noise."""
    model = model.double()
    batch = Batch(batch.keys, Padded(batch.source.data.double(), batch.source.lengths), batch.target)
    alone = [model.loss(row(batch, i)) for i in range(3)]
    torch.testing.assert_close(model.loss(batch).total, sum(loss.total for loss in alone), rtol=1e-9, atol=1e-9)
    assert model.loss(batch).count == sum(loss.count for loss in alone)
    if isinstance(model, Emitter):
        together = model.emit(batch.source)
        for i in range(3):
            one = model.emit(row(batch, i).source).data[0]
            assert len(one) == together.lengths[i]
            torch.testing.assert_close(together.data[i, : len(one)], one, rtol=1e-9, atol=1e-9)


def test_loss_counts_targets_not_padding(model, batch):
    assert model.loss(batch).count in (7, 7 + 3)  # with EOS for autoregressive models


def test_config_survives_json(model, batch):
    spec = json.loads(json.dumps(describe(model.config)))
    twin = build(spec["architecture"], spec["options"], FRAME, VOCABULARY).eval()
    assert twin.config == model.config
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin.loss(batch).total, model.loss(batch).total, rtol=0, atol=0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_defaults_can_be_built(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name, {}, 161, 29).parameters()) > 1_000_000


def test_learns_and_reads_back(model, batch):
    """The end of the whole chain: overfit three utterances, then search must return them."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(80):
        optimiser.zero_grad()
        model(batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.eval()
    for width in (1, 4):
        found = model.search(batch.source, Beam(width=width, max_length=8))
        assert [nbest[0].tokens for nbest in found] == [(4, 5, 5, 6), (6, 4), (5,)]
        assert all(len(h.spans) in (0, len(h.tokens)) for nbest in found for h in nbest)
