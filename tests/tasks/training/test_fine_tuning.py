"""A training that starts from a model: it keeps what that knows, learns sooner, and leaves what is frozen as it is."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_corpus import LETTERS, made, training

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import listen_attend_spell, rnn_transducer
from models.layers.rnn_stack import Recurrent
from tasks.bundles.bundle_files import read_sound
from tasks.bundles.model_bundle import bundle_tokenizer, load_bundle, model_outputs
from tasks.bundles.pretrained_model import build_model, grow_weights
from tasks.text.grow_tokenizer import grow_for_texts
from tasks.text.tokenizer import load_tokenizer
from tasks.training import train_loop
from tasks.training.optimizer import make_optimizer, make_schedule
from tasks.training.parameter_groups import check_patterns, parameter_groups, set_training_mode
from tasks.training.run_training import Workers
from tasks.training.train_asr import prepare_asr, train_asr

TINY = Recurrent(hidden_size=8)
MORE = LETTERS + "fg"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A model of five letters, in a store that every test of this file works in."""
    place = tmp_path_factory.mktemp("fine-tuning")
    before, os.environ["SCRIPTORIUM_ARTIFACTS"] = os.environ["SCRIPTORIUM_ARTIFACTS"], str(place / "artifacts")
    features, tokenizer = made(place, 64)
    yield place, train_asr.fn(features, tokenizer, training(6), Workers(count=0))
    os.environ["SCRIPTORIUM_ARTIFACTS"] = before


@pytest.fixture(scope="module")
def tuned(source):
    """The model on twelve louder utterances of seven letters, its convolutions frozen; and the same from nothing."""
    place, bundle = source
    features, _ = made(place, 12, letters=MORE, gain=1.5)
    tokenizer = grow_for_texts([MORE], bundle_tokenizer(bundle))
    work = training(3, learning_rate=3e-3)
    fit = replace(work.fit, freeze=("members.*.convolutions",))
    return (
        (features, tokenizer),
        train_asr.fn(features, tokenizer, replace(work, fit=fit, init_from=bundle), Workers(count=0)),
        train_asr.fn(features, tokenizer, work, Workers(count=0)),
    )


def test_it_learns_sooner_than_from_nothing(tuned):
    _, begun, alone = ((one if i == 0 else one.read_json("training.json")) for i, one in enumerate(tuned))
    assert all(
        one["dev_loss"] < other["dev_loss"] for one, other in zip(begun["history"], alone["history"], strict=True)
    )


def test_the_bundle_says_what_it_started_from_and_hears_as_that_did(source, tuned):
    _, begun, alone = tuned
    assert begun.read_json("training.json")["init_from"] == source[1].digest
    assert "init_from" not in alone.read_json("training.json")
    assert read_sound(begun) == read_sound(source[1]), "the statistics of the source's training data"
    assert read_sound(alone) != read_sound(source[1])


def test_what_is_frozen_is_the_same_to_the_bit(source, tuned):
    before, after = (load_bundle(bundle).model.state_dict() for bundle in (source[1], tuned[1]))
    same = {
        name
        for name, value in before.items()
        if torch.equal(value, after[name][: len(value)] if value.dim() else after[name])
    }
    frozen = {name for name in before if ".convolutions." in name}
    assert any("running_mean" in name for name in frozen)
    assert frozen == same, "and all else has moved"


def test_tokens_keep_their_ids_and_a_grown_model_says_what_it_said(source, tuned):
    (_, tokenizer), _, _ = tuned
    known, grown = load_bundle(source[1]), load_tokenizer(tokenizer)
    assert grown.encode(LETTERS) == known.tokenizer.encode(LETTERS)
    assert grown.decode(grown.encode(MORE)) == MORE
    model = build_model(known.model.config, (8, len(grown)), source[1]).eval()
    golden = {f"{i}": np.random.default_rng(i).standard_normal((40, 8)).astype(np.float16) for i in range(5)}
    told, now = (model_outputs(b, golden) for b in (known, replace(known, model=model, tokenizer=grown)))
    assert [one["text"] for one in now.values()] == [one["text"] for one in told.values()]
    old, new = known.model.state_dict(), model.state_dict()
    (name,) = (name for name in old if name.endswith("output.weight"))
    torch.testing.assert_close(new[name][: len(old[name])], old[name], rtol=0, atol=0)
    torch.testing.assert_close(new[name][-1], old[name][4:].mean(0))


@pytest.mark.parametrize(
    "config",
    [
        rnn_transducer.Config(encoder=TINY, prediction=TINY, joint_size=8, linear_size=0),
        rnn_transducer.Config(encoder=TINY, prediction=TINY, joint_size=8, embedding_size=4),
        listen_attend_spell.Config(listener_size=8, speller_size=8, embedding_size=4, attention_size=8, ctc_weight=0.3),
    ],
    ids=["one-hot", "embedding", "speller"],
)  # fmt: skip
def test_every_architecture_grows(source, config):
    """Each weight of a token, in and out, stands where its id is: with the new ones forbidden, nothing has changed."""
    torch.manual_seed(1)
    small, large = config.build(8, 9).eval(), config.build(8, 12).eval()
    known = replace(load_bundle(source[1]), model=small)
    large.load_state_dict(grow_weights(known, large.state_dict(), {name for name, _ in large.named_parameters()}))
    with torch.no_grad():
        for name, value in large.named_parameters():
            if name in {"output.bias", "ctc.bias"}:
                value[9:] = -1e9
    random = np.random.default_rng(0)
    golden = {"a": random.standard_normal((64, 8)).astype(np.float16)}
    told, now = (model_outputs(replace(known, model=model), golden) for model in (small, large))
    assert told == now


def test_killed_and_resumed_it_ends_with_the_same_bundle(tuned, source, monkeypatch):
    (features, tokenizer), whole, _ = tuned
    work = training(3, learning_rate=3e-3, checkpoint_steps=2)
    fit = replace(work.fit, freeze=("members.*.convolutions",))
    again, real, calls = replace(work, fit=fit, init_from=source[1]), train_loop.update_weights, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(train_loop, "update_weights", failing)
    with pytest.raises(KeyboardInterrupt):
        train_asr.fn(features, tokenizer, again, Workers(count=0))
    resumed = train_asr.fn(features, tokenizer, again, Workers(count=0))
    assert len(calls) < 6 + whole.read_json("training.json")["history"][-1]["step"], "it began anew"
    for name in ("weights.pt", "golden.json"):
        assert resumed.read(name) == whole.read(name)
    assert resumed.read_json("training.json")["history"] == whole.read_json("training.json")["history"]


def test_workers_come_to_the_same_model(source):
    """Frozen weights are no part of what they exchange."""
    place, bundle = source
    here = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{here.parents[1]}:{here}"}
    command = [sys.executable, str(here / "training_on_workers.py"), str(place), "1", "2", "--from", bundle.uri]
    subprocess.run(command, env=environment, check=True, timeout=600)
    weights = torch.load(place / "weights.pt", weights_only=True)
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-4, atol=1e-5)
    history = json.loads((place / "history.json").read_text())
    assert history["1"][0]["dev_wer"] < 0.5, "it started from the model"


def test_another_source_is_another_training(source, tuned):
    (features, tokenizer), begun, _ = tuned
    works = [replace(training(3), init_from=init) for init in (None, source[1], begun)]
    assert len({train_asr.key(features, tokenizer, work, Workers()) for work in works}) == 3


def test_a_source_of_another_network_is_refused(source, tuned):
    (features, tokenizer), _, _ = tuned
    other = replace(training(1, 24), init_from=source[1])
    with pytest.raises(UserError, match="another network") as caught:
        train_asr.fn(features, tokenizer, other, Workers(count=0))
    assert "\n" not in str(caught.value)


# -- patterns ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(source):
    return build_model(training(1).model, (8, 9), source[1])


@pytest.mark.parametrize("key", ["freeze", "rate_factors"])
def test_a_pattern_of_nothing_names_the_modules(model, key):
    value = ("encoder.*",) if key == "freeze" else {"encoder.*": 0.1}
    with pytest.raises(
        ValueError, match=rf"fit\.{key}: 'encoder\.\*' is no module.*members\.0\.convolutions"
    ) as caught:
        check_patterns(model, training(1, **{key: value}).fit)
    assert "\n" not in str(caught.value)


def test_to_freeze_everything_is_refused(model):
    with pytest.raises(ValueError, match="nothing of the model is left to learn"):
        check_patterns(model, training(1, freeze=("members",)).fit)


def test_rates_by_pattern(model):
    fit = training(1, rate_factors={"*.output": 2, "members.0.recurrent.*": 0.1}, learning_rate=0.5).fit
    groups = {group["lr"]: {id(p) for p in group["params"]} for group in parameter_groups(model, fit)}
    assert next(iter(groups)) == 0.5, "what has no pattern comes first"
    output = {id(p) for name, p in model.named_parameters() if ".output." in name}
    recurrent = {id(p) for name, p in model.named_parameters() if ".recurrent." in name}
    assert (groups[1.0], groups[0.05]) == (output, recurrent)
    assert sum(map(len, groups.values())) == len(list(model.parameters()))


@pytest.mark.parametrize("factor", [0, -1, float("nan"), "0.1", True])
def test_a_rate_factor_is_above_zero(factor):
    with pytest.raises(ValueError, match=r"fit\.rate_factors: 'encoder' takes a number above 0"):
        training(1, rate_factors={"encoder": factor})


def test_a_one_cycle_rate_is_each_group_its_own(model):
    fit = training(1, rate_factors={"*.output": 0.1}, learning_rate=0.5).fit
    fit = replace(fit, schedule="OneCycleLR", schedule_options={}, schedule_every="step")
    optimizer = make_optimizer(parameter_groups(model, fit), fit)
    schedule, highest = make_schedule(optimizer, fit, 50), [0.0, 0.0]
    for _ in range(49):
        optimizer.step()
        schedule.step()
        highest = [max(a, g["lr"]) for a, g in zip(highest, optimizer.param_groups, strict=True)]
    assert highest == pytest.approx([0.5, 0.05], rel=1e-2)


def test_a_frozen_module_is_in_evaluation(model):
    set_training_mode(model, training(1, freeze=("members.0.norm.*", "members.0.dropout")).fit)
    modes = {name: module.training for name, module in model.named_modules()}
    assert not modes["members.0.norm.norm"]
    assert not modes["members.0.dropout"]
    assert modes["members.0.convolutions.0.norm.norm"]
    set_training_mode(model, training(1, freeze=("*.norm.weight", "*.norm.bias")).fit)
    assert not model.get_submodule("members.0.convolutions.0.norm.norm").training


def test_a_loop_begins_with_the_source(source, tuned):
    """The first update's loss is what the source says of the batch, not what a new network would."""
    place, bundle = source
    features, tokenizer = made(place, 8)
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, replace(training(1), init_from=bundle))
    model = build_model(job.model, job.sizes, job.init_from).eval()
    batch = job.train.batch(np.arange(8), None)
    with torch.no_grad():
        assert float(model.loss(batch).mean()) == pytest.approx(float(load_bundle(bundle).model.loss(batch).mean()))
