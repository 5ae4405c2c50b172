"""Streams whose state goes on from batch to batch: planned, trained, killed and resumed as one long text would be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from models import char_rnn
from models.interface import Padded
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig, batchify, plan_streams
from tasks.batches.token_chunks import ChunkConfig, split_chunks
from tasks.bundles.model_bundle import load_bundle
from tasks.decoding.generate_text import Prompt
from tasks.decoding.lm_log_probs import StreamChunks, lm_log_probs
from tasks.training import train_loop
from tasks.training.language.train_language_model import LMTrainingConfig, train_language_model
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_loop import WorkerRank, accumulate_gradients
from tasks.training.train_module import TrainModule

SMALL = char_rnn.Config(embedding_size=8, recurrent=Recurrent(cell="lstm", hidden_size=12), readout=())
ONLINE = char_rnn.Config(embedding_size=0, recurrent=Recurrent(cell="elman_rtrl", hidden_size=6), readout=())
BATCHING = BatchingConfig(utterances_per_batch=3, sorted_epochs=0)


def training(reach=2, model=SMALL, **fit):
    how = {"optimizer": "SGD", "optimizer_options": {}, "schedule": "", "learning_rate": 0.05, "best_by": "loss"}
    chunks = ChunkConfig(length=10, carried=True, reach=reach)
    fitting = FitConfig(**({"epochs": 2, "batches_per_step": 2} | how | fit))
    return LMTrainingConfig(model=model, chunks=chunks, batching=BATCHING, fit=fitting, prompt=Prompt(length=0))


@given(st.integers(1, 300), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_each_row_of_a_batch_goes_on_where_it_ended(chunks, width, group, epoch):
    batches = plan_streams(chunks, width, group, 0, epoch)
    assert len(batches) == chunks // (width * group) * group
    seen = np.concatenate(batches) if batches else np.arange(0)
    assert len(set(seen.tolist())) == len(seen) <= chunks
    assert chunks - len(seen) < width * group
    for now, later in zip(batches, batches[group:], strict=False):
        assert (later == now + 1).all()


@given(st.integers(0, 60), st.integers(1, 9))
def test_side_by_side_is_every_row_once_in_order(count, width):
    rows = np.arange(7, 7 + count)
    batches = batchify(rows, width)
    assert sorted(np.concatenate([*batches, rows[:0]]).tolist()) == rows.tolist()
    for now, later in zip(batches, batches[1:], strict=False):
        assert (later == now[: len(later)] + 1).all()


@pytest.mark.parametrize("reach", [1, 3])
def test_the_updates_are_those_of_truncated_back_propagation(stream, reach):
    """The loop's gradients are those of the last `reach` chunks, from the state that all chunks before them leave."""
    chunks, _ = split_chunks(stream[0], ChunkConfig(length=10))
    torch.manual_seed(0)
    model = SMALL.build(0, 25).double().train()
    plan = plan_streams(len(chunks.rows), 3, 1, 0, 0)
    parts = [chunks.batch(rows, None) for rows in plan]
    learner = TrainModule(model, reach=reach)
    for number in range(len(parts)):
        state, expected = None, None
        for k, part in enumerate(parts[: number + 1]):  # from the beginning, by hand: a constant until the window
            with torch.set_grad_enabled(k > number - reach):
                expected, state = model.advance(part, state)
        wanted = torch.autograd.grad(expected.total / 30, list(model.parameters()))
        model.zero_grad()
        total = accumulate_gradients(learner, iter(parts[number : number + 1]), (0, number), 1, 30, WorkerRank())
        assert total == pytest.approx(float(expected.total.detach()))
        torch.testing.assert_close([p.grad for p in model.parameters()], list(wanted), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reach", [0, 3])
def test_precision_is_that_of_products(stream, reach):
    """On a processor, where auto is float32; rounding to 8 bits shows, and shows little."""
    chunks, _ = split_chunks(stream[0], ChunkConfig(length=10))
    batch = chunks.batch(plan_streams(len(chunks.rows), 3, 1, 0, 0)[0], None)
    torch.manual_seed(0)
    model = SMALL.build(0, 25).eval()
    found = {
        precision: float(TrainModule(model, 1, reach, precision).loss(batch, 0).detach())
        for precision in ("auto", "float32", "bfloat16")
    }
    assert found["auto"] == found["float32"] != found["bfloat16"]
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.02)


@pytest.mark.parametrize("model", [SMALL, ONLINE], ids=["lstm", "rtrl"])
def test_a_killed_run_goes_on_with_the_states_it_had(stream, model, monkeypatch):
    whole = train_language_model.fn(*stream, training(model=model), Workers(count=0))
    seen, update = [], train_loop.update_weights

    def dies(*arguments):
        seen.append(1)
        if len(seen) == 15:
            raise KeyboardInterrupt
        update(*arguments)

    monkeypatch.setattr(train_loop, "update_weights", dies)
    again = training(model=model, checkpoint_steps=4)
    with pytest.raises(KeyboardInterrupt):
        train_language_model.fn(*stream, again, Workers(count=0))
    resumed = train_language_model.fn(*stream, again, Workers(count=0))
    assert len(seen) < 15 + whole.read_json("training.json")["history"][-1]["step"], "it began anew"
    first, second = (load_bundle(b).model.state_dict() for b in (whole, resumed))
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy())


@pytest.mark.parametrize(("length", "rows"), [(10, 1), (1, 64)])
def test_dev_is_read_with_its_past(stream, length, rows):
    """One long stream: what a model says of a chunk is what it says after all the chunks before. A text of single
    tokens is not divided into streams too short to remember anything.
    """
    _, dev = split_chunks(stream[0], ChunkConfig(length=length, dev_share=0.2))
    torch.manual_seed(0)
    model = SMALL.build(0, 25).eval()
    passage = StreamChunks(dev, BatchingConfig(utterances_per_batch=rows), torch.device("cpu"), carried=True)
    with torch.no_grad():
        found = torch.cat([said for said, _ in lm_log_probs(model, passage, np.arange(len(dev.rows)))], 1)
        ids = torch.from_numpy(np.concatenate([dev.read(row)[:-1] for row in range(len(dev.rows))]))[None]
        whole, _ = model.predict(Padded(ids, torch.tensor([ids.shape[1]])), None)
    torch.testing.assert_close(found, whole.data)


@pytest.mark.parametrize("carried", [True, False])
def test_workers_read_the_streams_that_one_would(stream, carried):
    """Where a stream begins does not depend on how many share the reading."""
    _, dev = split_chunks(stream[0], ChunkConfig(length=10, dev_share=0.9))
    torch.manual_seed(0)
    model, rows = SMALL.build(0, 25).eval(), np.arange(len(dev.rows))
    assert len(rows) > 3 * 32
    batching = BatchingConfig(utterances_per_batch=5)
    passage = StreamChunks(dev, batching, torch.device("cpu"), carried=carried)

    def nats(workers):
        every = [said for rank in range(workers) for said in lm_log_probs(model, passage, rows, (rank, workers))]
        return sorted(round(float(n), 4) for p, t in every for n in p.gather(-1, t[..., None]).flatten())

    with torch.no_grad():
        assert nats(2) == nats(3) == nats(1)


def test_what_cannot_be_carried_is_said(stream):
    with pytest.raises(ValueError, match="held_out=end"):
        ChunkConfig(carried=True, held_out="anywhere")
    with pytest.raises(ValueError, match=r"chunks\.reach"):
        ChunkConfig(reach=2)
    wide = LMTrainingConfig(**(vars(training()) | {"batching": BatchingConfig(utterances_per_batch=999)}))
    with pytest.raises(UserError, match="fewer chunks than streams"):
        train_language_model.fn(*stream, wide, Workers(count=0))
