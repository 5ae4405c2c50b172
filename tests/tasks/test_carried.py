"""Streams whose state goes on from batch to batch: planned, trained, killed and resumed as one long text would be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infra.problem import Problem
from models import char_rnn
from models.interface import Batch, Padded
from models.layers.stack import Recurrent
from models.layers.truncated import truncated
from tasks import loop
from tasks.bundle import load_bundle
from tasks.carried import Learner
from tasks.corpus import fingerprint, parse
from tasks.ingest_text import TextIngest, ingest_text
from tasks.loop import Place, gradients
from tasks.optimise import Fit
from tasks.plan import Batching, side_by_side, streams
from tasks.reading import Passage, predictions
from tasks.sampling import Prompt
from tasks.stream import Chunking, divided, fit_text_tokenizer, tokenize
from tasks.text import AS_WRITTEN
from tasks.tokenizer import Tokens
from tasks.train_language_model import LanguageTraining, train_language_model
from tasks.training_run import Workers

TEXT = "le renard et le corbeau se parlent, la fourmi et la cigale aussi; " * 40
SMALL = char_rnn.Config(embedding_size=8, recurrent=Recurrent(cell="lstm", hidden_size=12), readout=())
BATCHING = Batching(utterances_per_batch=3, sorted_epochs=0)


@pytest.fixture
def stream(tmp_path, in_this_process):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    corpus = parse(f"text:{path}", "documents")
    text = ingest_text.fn(corpus, fingerprint(corpus), TextIngest())
    tokenizer = fit_text_tokenizer.fn(text, Tokens(specials=False, text=AS_WRITTEN))
    return tokenize.fn(text, tokenizer), tokenizer


def training(reach=2, **fit):
    how = {"optimiser": "SGD", "optimiser_options": {}, "schedule": "", "learning_rate": 0.05, "best_by": "loss"}
    chunks = Chunking(length=10, carried=True, reach=reach)
    fitting = Fit(**({"epochs": 2, "batches_per_step": 2} | how | fit))
    return LanguageTraining(model=SMALL, chunks=chunks, batching=BATCHING, fit=fitting, prompt=Prompt(length=0))


@given(st.integers(1, 300), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_each_row_of_a_batch_goes_on_where_it_ended(chunks, width, group, epoch):
    batches = streams(chunks, width, group, 0, epoch)
    assert len(batches) == chunks // (width * group) * group
    seen = np.concatenate(batches) if batches else np.arange(0)
    assert len(set(seen.tolist())) == len(seen) <= chunks
    assert chunks - len(seen) < width * group
    for now, later in zip(batches, batches[group:], strict=False):
        assert (later == now + 1).all()


@given(st.integers(0, 60), st.integers(1, 9))
def test_side_by_side_is_every_row_once_in_order(count, width):
    rows = np.arange(7, 7 + count)
    batches = side_by_side(rows, width)
    assert sorted(np.concatenate([*batches, rows[:0]]).tolist()) == rows.tolist()
    for now, later in zip(batches, batches[1:], strict=False):
        assert (later == now[: len(later)] + 1).all()


@pytest.mark.parametrize("reach", [1, 3])
def test_the_updates_are_those_of_truncated_back_propagation(stream, reach):
    """The loop's gradients over a stream in batches are the truncation's over the same stream in one piece."""
    chunks, _ = divided(stream[0], Chunking(length=10))
    torch.manual_seed(0)
    model = SMALL.build(0, 25).double().train()
    plan = streams(len(chunks.rows), 3, 1, 0, 0)
    parts = [chunks.batch(rows, None) for rows in plan]
    length = 10 * len(parts)
    whole = [Padded(torch.cat([b.data for b in side], 1), torch.full((3,), length)) for side in
             zip(*((p.source, p.target) for p in parts), strict=True)]  # fmt: skip
    truth = truncated(model, Batch(("a",) * 3, *whole), 10, 10 * reach, None)
    learner = Learner(model, reach=reach)
    for number, (expected, _) in enumerate(truth):
        wanted = torch.autograd.grad(expected.total / 30, list(model.parameters()))
        model.zero_grad()
        total = gradients(learner, iter(parts[number : number + 1]), (0, number), 1, 30, Place())
        assert total == pytest.approx(float(expected.total.detach()))
        torch.testing.assert_close([p.grad for p in model.parameters()], list(wanted), rtol=1e-9, atol=1e-12)


def test_a_killed_run_goes_on_with_the_states_it_had(stream, monkeypatch):
    whole = train_language_model.fn(*stream, training(), Workers(count=0))
    seen, update = [], loop.update

    def dies(*arguments):
        seen.append(1)
        if len(seen) == 15:
            raise KeyboardInterrupt
        update(*arguments)

    monkeypatch.setattr(loop, "update", dies)
    again = training(checkpoint_steps=4)
    with pytest.raises(KeyboardInterrupt):
        train_language_model.fn(*stream, again, Workers(count=0))
    resumed = train_language_model.fn(*stream, again, Workers(count=0))
    assert len(seen) < 15 + whole.read_json("training.json")["history"][-1]["step"], "it began anew"
    first, second = (load_bundle(b).model.state_dict() for b in (whole, resumed))
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy())


def test_dev_is_read_with_its_past(stream):
    """One long stream: what a model says of a chunk is what it says after all the chunks before."""
    _, dev = divided(stream[0], Chunking(length=10, dev_share=0.2))
    torch.manual_seed(0)
    model = SMALL.build(0, 25).eval()
    passage = Passage(dev, Batching(utterances_per_batch=1), torch.device("cpu"), carried=True)
    with torch.no_grad():
        found = torch.cat([said for said, _ in predictions(model, passage, np.arange(len(dev.rows)))], 1)
        ids = torch.from_numpy(np.concatenate([dev.read(row)[:-1] for row in range(len(dev.rows))]))[None]
        whole, _ = model.predict(Padded(ids, torch.tensor([ids.shape[1]])), None)
    torch.testing.assert_close(found, whole.data)


def test_what_cannot_be_carried_is_said(stream):
    with pytest.raises(ValueError, match="held_out=end"):
        Chunking(carried=True, held_out="anywhere")
    with pytest.raises(ValueError, match=r"chunks\.reach"):
        Chunking(reach=2)
    wide = LanguageTraining(**(vars(training()) | {"batching": Batching(utterances_per_batch=999)}))
    with pytest.raises(Problem, match="fewer chunks than streams"):
        train_language_model.fn(*stream, wide, Workers(count=0))
