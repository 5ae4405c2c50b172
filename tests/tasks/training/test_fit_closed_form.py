"""A read-out in closed form through the training step: the weights are the least-squares solution over the text."""

import numpy as np
import pytest
import torch

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import echo_state_lm
from models.interface import LanguageModel
from models.layers.ridge_regression import moments
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig, split_chunks
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.training_checkpoints import TrainState
from tasks.decoding.generate_text import Prompt
from tasks.training.fit_closed_form import _read
from tasks.training.language.train_language_model import LMTrainingConfig, prepare_language_model, train_language_model
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_loop import WorkerRank, groups_of

RIDGE = echo_state_lm.Config(hidden_size=20, ridge=0.3)
BATCHING = BatchingConfig(utterances_per_batch=3, sorted_epochs=0)


def training(carried, **fit):
    how = {"epochs": 1, "batches_per_step": 2, "best_by": "loss"} | fit
    chunks = ChunkConfig(length=10, carried=carried)
    return LMTrainingConfig(
        model=RIDGE, chunks=chunks, batching=BATCHING, fit=FitConfig(**how), prompt=Prompt(length=0)
    )


def least_squares(model, batches):
    """The read-out by QR of the augmented system, of states seen by the model's own reservoir, batch by batch."""
    seen, wanted = [], []
    with torch.no_grad():
        for batch in batches:
            states = model.observe(batch.source, None)[0].data.flatten(0, 1).double()
            seen.append(torch.nn.functional.pad(states, (0, 1), value=1.0))
            wanted.append(torch.nn.functional.one_hot(batch.target.data.flatten(), model.vocabulary).double())
    size = seen[0].shape[1]
    rows = torch.cat((*seen, 0.3**0.5 * torch.eye(size).double()))
    targets = torch.cat((*wanted, torch.zeros(size, model.vocabulary).double()))
    return torch.linalg.lstsq(rows, targets).solution


def test_the_readout_is_the_least_squares_solution(stream):
    bundle = train_language_model.fn(*stream, training(carried=False), Workers(count=0))
    model, history = load_bundle(bundle).model, bundle.read_json("training.json")["history"]
    assert isinstance(model, LanguageModel)
    heard, held_out = split_chunks(stream[0], ChunkConfig(length=10))
    truth = least_squares(model, [heard.batch(np.arange(len(heard.rows)), None)])
    torch.testing.assert_close(model.output.weight.double(), truth[:-1].mT, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model.output.bias.double(), truth[-1], rtol=1e-3, atol=1e-5)
    for name, chunks in (("loss", heard), ("dev_loss", held_out)):
        batch = chunks.batch(np.arange(len(chunks.rows)), None)
        scores = model.observe(batch.source, None)[0].data @ truth[:-1].float() + truth[-1].float()
        raised = scores.clamp(min=RIDGE.floor)
        told = (raised / raised.sum(-1, keepdim=True)).gather(-1, batch.target.data[..., None])
        assert history[-1][name] == pytest.approx(-float(told.log().mean()), rel=1e-3)
    assert len(history) == 1
    assert history[0]["loss"] < 1.5, "a text of a few phrases is no riddle"


@pytest.mark.parametrize("carried", [False, True])
def test_the_workers_sums_are_those_of_one(stream, carried):
    """Three batches an update on two workers: the second has none for the last turn, and adds nothing."""
    job = prepare_language_model(open_draft("training", "any"), *stream, training(carried, batches_per_step=3))
    torch.manual_seed(0)
    model, groups = RIDGE.build(*job.sizes), groups_of(job, TrainState(group=3))

    def summed(workers):
        sums = [0.0, 0.0]
        for rank in range(workers):
            for weight, found in _read(job, groups, model.moments, WorkerRank(rank, workers)):
                sums = [s + weight * f for s, f in zip(sums, found, strict=True)]
        return sums

    one = summed(1)
    torch.testing.assert_close(summed(2), one, rtol=1e-12, atol=1e-12)
    rows = np.concatenate([rows for group in groups for rows in group])
    assert one[0][-1, -1] == 10 * len(rows), "a constant input counts the tokens"
    if not carried:
        batch = job.train.batch(rows, None)
        states = torch.nn.functional.pad(model.observe(batch.source, None)[0].data.flatten(0, 1), (0, 1), value=1.0)
        wanted = torch.nn.functional.one_hot(batch.target.data.flatten(), model.vocabulary)
        torch.testing.assert_close(one, list(moments(states, wanted)), rtol=1e-4, atol=1e-4)


def test_what_is_found_in_one_pass_takes_one_epoch(stream):
    with pytest.raises(UserError, match=r"set fit\.epochs=1"):
        train_language_model.fn(*stream, training(carried=False, epochs=2), Workers(count=0))


@pytest.mark.parametrize("fit", [{"freeze": ("output",)}, {"rate_factors": {"output": 0.1}}])
def test_nothing_is_frozen_in_what_is_found_at_once(stream, fit):
    with pytest.raises(UserError, match="a read-out in closed form begins from nothing"):
        train_language_model.fn(*stream, training(carried=False, **fit), Workers(count=0))
