"""`import scriptorium`: the notebook runs, what goes in may be given in any way, and mistakes are one line."""

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from digit_translator import digit_translator, numbers, reversed_number
from text_models import LABELS, language_model, text_classifier
from tones import CONVOLUTIONS, RATE, recognizer_of_tones, spoken
from untrained import TRANSDUCER, bundle_of

from flows import python_package
from infra import model_registry, tracking
from infra.errors import UserError
from tasks.bundles.model_bundle import AudioConfig, load_bundle
from tasks.features.front_end import CMVN, FrontEnd
from tasks.publishing.publish_model import bundle_files

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of MLflow
NOTEBOOK = Path(__file__).parent / "python_api.ipynb"
TEXT = "ab cad"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recording, beside a registry of four models."""
    folder = tmp_path_factory.mktemp("door")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/record.db")
        patch.setenv("SCRIPTORIUM_CACHE", str(folder / "cache"))
        models = {"asr": recognizer_of_tones(CONVOLUTIONS, 60), "letters": language_model()}
        for name, bundle in (models | {"labels": text_classifier(), "numbers": digit_translator()}).items():
            run_id = tracking.open_run(name, name, {})
            tracking.log_files(run_id, bundle_files(bundle), tracking.BUNDLE_FOLDER)
            model_registry.set_alias(name, "champion", tracking.register(run_id, name, {}))
        soundfile.write(folder / "talk.wav", spoken(TEXT, np.random.default_rng(7)), RATE, subtype="FLOAT")
        patch.chdir(folder)
        yield folder


@pytest.fixture
def scriptorium(monkeypatch):
    """The package under the name that the wheel gives it, whether this tree is installed or not."""
    spec = importlib.util.spec_from_file_location("scriptorium", python_package.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "scriptorium", module)
    spec.loader.exec_module(module)
    return module


def test_the_notebook(place, scriptorium):
    names = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    assert names["found"].text == names["of_bytes"].text == names["of_samples"].text == names["last"].text == TEXT
    assert [transcript.text for transcript in names["transcripts"]][:2] == [TEXT, TEXT]
    assert len(names["written"]) == 20
    assert math.exp(names["score"].log_prob / 3) == pytest.approx(1 / names["score"].perplexity)
    assert names["label"] == max(names["probabilities"], key=names["probabilities"].get)
    assert names["told"].startswith("nowhere.wav: cannot be read")


def test_samples_of_any_kind(place, scriptorium):
    model = scriptorium.load("asr@champion")
    assert isinstance(model, scriptorium.SpeechRecognizer)
    wave, _ = soundfile.read("talk.wav", dtype="float32")
    whole = (wave * 32767).astype(np.int16)
    for samples in (
        wave,
        wave.astype(np.float64),
        whole,
        whole.astype(np.int32) << 16,
        wave.tolist(),
        torch.tensor(wave),
    ):
        assert model.transcribe(samples, RATE).text == TEXT
    assert model.transcribe(Path("talk.wav")).text == TEXT
    for wrong, says in (
        ((wave,), "need their rate"),
        ((np.stack([wave, wave], 1), RATE), "of one channel"),
        ((whole.astype(np.uint8), RATE), "not uint8"),
        ((b"no sound at all",), "the bytes given: not audio"),
    ):
        with pytest.raises(UserError, match=says):
            model.transcribe(*wrong)


def test_kinds_are_not_mistaken(place, scriptorium):
    assert isinstance(scriptorium.load("letters@champion"), scriptorium.LanguageModel)
    assert isinstance(scriptorium.load("labels@champion"), scriptorium.Classifier)
    for call, says in (
        (lambda: scriptorium.load_recognizer("letters@champion"), "not a speech recognizer"),
        (lambda: scriptorium.load_language_model("asr@champion"), "not a language model"),
        (lambda: scriptorium.load_classifier("asr@champion"), "not a classifier"),
        (lambda: scriptorium.load("letters@champion", {"beam.width": 3}), "neither a recognizer nor a translator"),
        (lambda: scriptorium.load_translator("labels@champion"), "labels@champion: not a translator"),
        (lambda: scriptorium.load_language_model("numbers@champion"), "not a language model"),
        (lambda: scriptorium.load_recognizer("numbers@champion"), "not a speech recognizer"),
        (lambda: scriptorium.load("numbers@champion", {"beam.lm_weight": 1}), "no language model"),
        (lambda: scriptorium.load("numbers@champion").score("one", "eins " * 2000), "2000 tokens on a side"),
        (lambda: scriptorium.load("numbers@champion").translate(b"one"), "as str or a list, not bytes"),
        (lambda: scriptorium.load("asr@champion", ["beam.wide=3"]), "did you mean beam.width"),
        (lambda: scriptorium.load("nobody@champion"), "not registered"),
        (lambda: scriptorium.load_classifier("labels@champion").classify("?!"), "nothing is left"),
        (lambda: scriptorium.load_classifier("labels@champion").classify(b"a"), "reads text"),
        (lambda: scriptorium.load_language_model("letters@champion").score(""), "nothing is left"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_a_transducer_aligns_nothing_and_streams(artifact_root, scriptorium):
    model = scriptorium.load_recognizer(bundle_of(TRANSDUCER).uri)
    wave = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    with pytest.raises(UserError, match="alignment asks for a CTC model"):
        model.align(wave, "abc", 16000)
    stream, final = model.stream(16000), 0
    for begin in range(0, 16000, 1600):
        heard = stream.hear(wave[begin : begin + 1600])
        assert heard.final >= final
        final = heard.final
    greedy = scriptorium.load_recognizer(bundle_of(TRANSDUCER).uri, {"beam.width": 1})
    assert stream.finish().text == greedy.transcribe(wave, 16000).text


def test_a_model_of_given_frames_takes_them_as_they_are(artifact_root, scriptorium):
    sound = AudioConfig(FrontEnd(kind="given"), CMVN("none"))
    model = scriptorium.load_recognizer(bundle_of(TRANSDUCER, sound).uri, {"beam.width": 1})
    frames = np.random.default_rng(0).standard_normal((150, 13)).astype(np.float32)
    stream = model.stream(100)
    for begin in range(0, 150, 40):
        stream.hear(frames[begin : begin + 40])
    assert stream.finish().text == model.transcribe(frames, 100).text
    with pytest.raises(UserError, match="this is a waveform"):
        model.transcribe(frames[:, 0], 100)


def test_a_text_is_as_probable_as_its_parts(artifact_root, scriptorium):
    """Against the model asked token by token."""
    artifact = language_model()
    model, bundle = scriptorium.load_language_model(artifact.uri), load_bundle(artifact)
    text = "abc de\nfa" * 80  # longer than is read at once
    found = model.score(text)
    ids, total = [0, *bundle.tokenizer.encode(text)], 0.0
    state = bundle.model.start(None, 1)
    with torch.no_grad():
        for one, following in zip(ids, ids[1:], strict=False):
            step = bundle.model.step(torch.tensor([one]), state, None)
            total, state = total + float(step.log_probs[0, following]), step.state
    assert found.log_prob == pytest.approx(total, rel=1e-5)
    assert "".join(token.text for token in found.tokens) == text
    of_words = scriptorium.load_language_model(language_model("words", ["ape", "bee"]).uri)
    assert [token.text for token in of_words.score("ape bee\n\nbee").tokens] == ["ape", "bee", "\n", "bee", "\n"]


def test_texts_are_translated_and_pairs_scored(place, scriptorium):
    model, texts = scriptorium.load("numbers@champion", {"beam.width": 1}), numbers(12, seed=2)
    assert isinstance(model, scriptorium.TranslationModel)
    assert [one.text for one in model.translate(texts)] == [reversed_number(text) for text in texts]
    found = model.translate(texts[0])
    assert isinstance(found, scriptorium.Translation)
    assert model.score(texts[0], found.text) == pytest.approx(found.score, abs=1e-4)
    assert model.score(texts[0], "zehn") < found.score
    assert model.translate([]) == []


def test_labels_add_up(place, scriptorium):
    found = scriptorium.load_classifier("labels@champion").classify("head")
    assert sorted(found.probabilities) == LABELS
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)


def test_naming_it_imports_nothing_heavy(tmp_path):
    """Also beside folders of the user's that are called as ours are."""
    (tmp_path / "scriptorium").symlink_to(Path(python_package.__file__).parent)
    for name in ("models", "tasks"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "__init__.py").write_text("raise RuntimeError('mine')")
    code = "import sys, scriptorium; assert 'torch' not in sys.modules; print(scriptorium.UserError.__module__)"
    path = {"PYTHONPATH": f"{tmp_path}:{Path(python_package.__file__).parents[2]}"}
    told = {"capture_output": True, "text": True, "check": True, "cwd": tmp_path / "mine"}
    assert subprocess.run([sys.executable, "-c", code], env=path, **told).stdout == "infra.errors\n"
    early = "import types, sys; sys.modules['models'] = own = types.ModuleType('models'); own.__file__ = '/x/y/z'; "
    refused = subprocess.run([sys.executable, "-c", early + code], env=path, **(told | {"check": False}))
    assert "models is imported already, from /x/y/z" in refused.stderr
