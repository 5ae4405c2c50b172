"""Adapted batch normalization: what of a speaker is taken away, what is put back, and that every utterance is read."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_classifier import clips, training
from untrained import TRANSDUCER, bundle_of

from flows.recipes import Recipe
from flows.shared.evaluation_plan import bundle_adaptation, check_adaptation
from infra.errors import UserError
from models import rnn_transducer, tdnn_classifier
from models.interface import Padded
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.fit_classifier_vocabulary import LabelConfig, fit_classifier_vocabulary
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.speaker_batch_norm import AdaptationConfig, Speakers, batches_by_speaker
from tasks.decoding.predict_labels import predict_labels, predict_rows
from tasks.decoding.shard_inference import Inference, Inputs
from tasks.features.extract_features import extract_features
from tasks.features.front_end import CMVN, FrontEnd
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_parts import read_parts
from tasks.training.run_training import Workers
from tasks.training.train_classifier import train_classifier

FRONT_END = FrontEnd(sample_rate=8000, mels=20)
NET = tdnn_classifier.Config(channels=(8, 8), windows=(1, 1), dilations=(1, 1), strides=(1, 1), norm="sequence",
                  readout="statistics", activation="relu", members=2)  # fmt: skip
FREE = AdaptationConfig(speakers=True, prior=0)
SPLIT = "train"


@pytest.fixture
def heard(taken_in, tmp_path):
    """Features of three speakers' tones, and their vocabularies."""
    shards = taken_in(clips(tmp_path / "clips"))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), FRONT_END)
    return extract_features.fn(shards, vocabularies, FRONT_END, 0.05), vocabularies


@pytest.fixture
def utterances(heard):
    return UtteranceDataset(heard[0], read_index(heard[0], SPLIT), CMVN("none"))


def net(config=NET):
    torch.manual_seed(0)
    model = config.build(20, 2)
    for norm in norms_of(model):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return model.eval()


def norms_of(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm1d)]


def rows_of(utterances, speaker):
    return np.flatnonzero(np.asarray(utterances.index["speaker"].to_pylist()) == speaker)


def by_hand(model, batch):
    """What each layer of batch normalization is given when each before it has normalized by this very batch."""
    twin = net()
    twin.load_state_dict(model.state_dict())
    given = []
    for norm in norms_of(twin):
        norm.train()
        norm.register_forward_pre_hook(lambda _, rows: given.append((rows[0].mean(0), rows[0].var(0))))
    with torch.no_grad():
        twin.classify(batch.given)
    return given


@pytest.mark.parametrize("prior", [0.0, 5.0, 30.0])
def test_statistics_are_the_speakers_and_those_of_training_by_their_share(utterances, prior):
    model, rows = net(), rows_of(utterances, "s1")
    trained = [(n.running_mean.clone(), n.running_var.clone()) for n in norms_of(model)]
    own = by_hand(model, utterances.batch(rows, None))
    share = len(rows) / (len(rows) + prior)
    with Speakers(model, utterances, AdaptationConfig(speakers=True, prior=prior)).heard("s1"):
        for norm, (mean, variance), (mean_1, variance_1) in zip(norms_of(model), trained, own, strict=True):
            torch.testing.assert_close(norm.running_mean, share * mean_1 + (1 - share) * mean)
            torch.testing.assert_close(norm.running_var, share * variance_1 + (1 - share) * variance)


def test_louder_rooms_and_other_microphones_are_heard_as_one(utterances):
    """Every feature of a speaker shifted and all scaled: the first layer's normalization takes both away again."""

    class Elsewhere(CMVN):
        def __call__(self, frames):
            return 1.7 * frames.astype(np.float32) + np.linspace(-3, 5, 20, dtype=np.float32)

    model, rows = net(), rows_of(utterances, "s0")
    elsewhere = replace(utterances, normalizer=Elsewhere("none"))
    said = []
    for place in (utterances, elsewhere):
        with torch.no_grad(), Speakers(model, place, FREE).heard("s0"):
            said.append(model.classify(place.batch(rows, None).given))
    torch.testing.assert_close(said[0], said[1], atol=1e-3, rtol=0)
    with torch.no_grad():
        apart = model.classify(utterances.batch(rows, None).given) - model.classify(elsewhere.batch(rows, None).given)
    assert apart.abs().max() > 20 * (said[0] - said[1]).abs().max()  # so it is the adaptation that does it


@pytest.mark.parametrize("speaker", ["s2", "", "nobody"])
def test_the_model_is_left_as_it_was(utterances, speaker):
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items() if "batches_tracked" not in name}
    speakers = Speakers(model, utterances, FREE)

    def same():
        now = model.state_dict()
        return all(torch.equal(now[name], value) for name, value in before.items())

    with speakers.heard(speaker):
        assert same() == (speaker != "s2")
    assert same()
    with contextlib.suppress(KeyError), speakers.heard(speaker):
        raise KeyError
    assert same()
    assert not any(module.training for module in model.modules())
    assert {norm.momentum for norm in norms_of(model)} == {0.1}


def test_each_utterance_is_read_once_beside_its_speakers_others(utterances):
    model, names = net(), dict(zip(*(utterances.index[n].to_pylist() for n in ("key", "speaker")), strict=True))
    read = [
        b.keys
        for b in batches_by_speaker(
            utterances, BatchingConfig(utterances_per_batch=4), Speakers(model, utterances, FREE)
        )
    ]
    assert sorted(key for keys in read for key in keys) == sorted(names)
    assert all(len({names[key] for key in keys}) == 1 for keys in read)
    plain = [b.keys for b in batches_by_speaker(utterances, BatchingConfig(utterances_per_batch=4), None)]
    assert sorted(key for keys in plain for key in keys) == sorted(names)


def test_no_more_of_a_speaker_is_measured_than_was_asked_for(utterances, monkeypatch):
    model, measured = net(), []
    search = tdnn_classifier.TimeDelayNetwork.search
    monkeypatch.setattr(
        tdnn_classifier.TimeDelayNetwork,
        "search",
        lambda self, source, *rest: (measured.append(len(source.lengths)), search(self, source, *rest))[1],
    )
    speakers = Speakers(model, utterances, AdaptationConfig(speakers=True, sample=4))
    for _ in range(2):
        with speakers.heard("s1"):
            pass
    assert sum(measured) == 4  # once, too


def test_predictions_do_not_depend_on_how_a_speaker_is_spread_over_shards(heard):
    features, vocabularies = heard
    work = training(3, model=NET, features=FRONT_END, adapt=FREE)
    artifact = train_classifier.fn(features, vocabularies, work, Workers(count=0))
    assert bundle_adaptation(artifact) == FREE
    how = Inference(architecture="tdnn", split="test", batching=BatchingConfig(), adapt=FREE)
    found = {row["key"]: row for row in read_parts(predict_labels.fn(artifact, features, how))}
    bundle, index = load_bundle(artifact), read_index(features, "test")
    whole = UtteranceDataset(features, index, bundle.normalizer)
    speakers = Speakers(bundle.model, whole, FREE)
    for row in range(len(index)):  # a shard for each utterance
        alone = UtteranceDataset(features, index.slice(row, 1), bundle.normalizer)
        (told,) = predict_rows(bundle, Inputs(alone, BatchingConfig(), speakers=speakers))
        assert told["label"] == found[told["key"]]["label"]
        assert told["nats"] == pytest.approx(found[told["key"]]["nats"], abs=1e-4)


def test_a_model_without_batch_normalization_is_refused(artifact_root):
    with pytest.raises(ValueError, match="no batch normalization"):
        Recipe(model=rnn_transducer.Config(), adapt=FREE)
    with pytest.raises(ValueError, match="no batch normalization"):
        training(model=replace(NET, norm="none"), features=FRONT_END, adapt=FREE)
    bundle = bundle_of(replace(TRANSDUCER, normalize=False))
    plan = type("Plan", (), {"adapt": FREE})
    with pytest.raises(UserError, match="no batch normalization"):
        check_adaptation(bundle, plan)
    with pytest.raises(ValueError, match=r"adapt\.prior"):
        AdaptationConfig(prior=-1)


def test_an_utterance_of_one_frame_is_heard(utterances):
    """One value has no variance: the layers then keep what they have."""
    model = net()
    lone = Padded(torch.zeros(1, 1, 20), torch.tensor([1]))

    class One:
        index, frames = utterances.index.slice(0, 1), np.array([1])
        features = utterances.features

        def batch(self, rows, epoch, reduction=1):
            return replace(utterances.batch(rows, epoch, reduction), source=lone)

    before = [norm.running_mean.clone() for norm in norms_of(model)]
    with Speakers(model, One(), FREE).heard(utterances.index["speaker"][0].as_py()):
        assert all(torch.equal(n.running_mean, b) for n, b in zip(norms_of(model), before, strict=True))
