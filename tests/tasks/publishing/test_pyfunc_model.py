"""MLflow loads and serves what was registered; what reads bundles does so as before."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from digit_translator import digit_translator
from text_models import LABELS, language_model, text_classifier
from tones import CONVOLUTIONS, RATE, recognizer_of_tones, spoken

from infra import model_registry, tracking
from infra.errors import UserError
from tasks.bundles.model_bundle import import_model
from tasks.publishing.publish_model import bundle_files

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of MLflow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A registry and an artifact store of this module's: making MLflow's tables takes seconds."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/record.db")
        patch.setenv("SCRIPTORIUM_CACHE", str(folder / "cache"))
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")
        yield folder


def register(bundle, name):
    """As its champion."""
    run_id = tracking.open_run(name, name, {})
    tracking.log_files(run_id, bundle_files(bundle), tracking.BUNDLE_FOLDER)
    model_registry.set_alias(name, "champion", tracking.register(run_id, name, {"bundle": bundle.digest}))
    tracking.finish(run_id, "FINISHED")
    return f"models:/{name}@champion"


@pytest.fixture(scope="module")
def recognizer(place):
    """The bundle, and what MLflow calls it."""
    bundle = recognizer_of_tones(CONVOLUTIONS, 60)
    return bundle, register(bundle, "asr")


@pytest.fixture
def clip(tmp_path):
    """A file, its samples and its text."""
    wave = spoken("ab cad", np.random.default_rng(7))
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    return tmp_path / "a.wav", wave, "ab cad"


def test_a_recognizer(recognizer, place, clip):
    import mlflow

    (bundle, uri), (path, wave, text) = recognizer, clip
    assert import_model(model_registry.resolve_model("asr@champion")) == bundle, "as it was before MLflow knew of it"
    model = mlflow.pyfunc.load_model(uri)
    names = [column.name for column in model.metadata.get_output_schema()]
    assert names == ["text", "confidence", "words", "n_best"]
    assert model.metadata.saved_input_example_info
    assert not [p for p in place.rglob("*.pkl")]
    data, rate = path.read_bytes(), {"rate": RATE}
    assert model.predict(str(path))["text"].tolist() == [text]
    assert model.predict([str(path), str(path)])["text"].tolist() == [text, text]
    assert model.predict(data)["text"].tolist() == model.predict([data])["text"].tolist() == [text]
    assert model.predict(pd.DataFrame({"audio": [data, str(path)]}))["text"].tolist() == [text, text]
    assert model.predict(base64.b64encode(data).decode())["text"].tolist() == [text]
    assert model.predict(wave, params=rate)["text"].tolist() == [text]
    assert model.predict(pd.DataFrame({"audio": [wave, wave[:1000]]}), params=rate)["text"][0] == text
    found = model.predict(model.input_example)
    assert found["confidence"].tolist() == [None]
    with pytest.raises(UserError, match="no such file, and no base64"):
        model.predict(["nowhere.wav"])
    with pytest.raises(UserError, match="their rate"):
        model.predict(wave)
    with pytest.raises(UserError, match="not audio"):
        model.predict([b"no sound at all"])


def test_the_server_answers(recognizer, clip, tmp_path):
    (_, uri), (path, wave, text) = recognizer, clip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "-m", uri, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--env-manager", "local", "--workers", "1"]
    programs = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # uvicorn is called by its name
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | programs, start_new_session=True)
    try:
        answer = None
        example = {"inputs": [base64.b64encode(path.read_bytes()).decode()]}
        for _ in range(600):
            try:
                answer = ask(port, example)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.2)
        (told,) = answer["predictions"]
        assert told["text"] == text
        assert [word["text"] for word in told["words"]] == text.split()
        assert 0 < told["confidence"] <= 1
        split = {"dataframe_split": {"columns": ["audio"], "data": [[str(path)], [str(path)]]}}
        assert [row["text"] for row in ask(port, split)["predictions"]] == [text, text]
        samples = {"inputs": wave.tolist(), "params": {"rate": RATE}}
        assert ask(port, samples)["predictions"][0]["text"] == text
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def ask(port, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_a_text_is_answered_by_its_kind(place):
    import mlflow

    found = mlflow.pyfunc.load_model(register(text_classifier(), "labels")).predict(["abc de", "h"])
    assert [sorted(row) for row in found["probabilities"]] == [LABELS, LABELS]
    assert [row[label] for label, row in zip(found["label"], found["probabilities"], strict=True)] == [
        max(row.values()) for row in found["probabilities"]
    ]
    model = mlflow.pyfunc.load_model(register(language_model(), "letters"))
    assert [column.name for column in model.metadata.get_output_schema()] == ["log_prob", "perplexity", "tokens"]
    told = model.predict(["abc"])
    assert [token["text"] for token in told["tokens"][0]] == list("abc")
    assert sum(token["log_prob"] for token in told["tokens"][0]) == pytest.approx(told["log_prob"][0])
    model = mlflow.pyfunc.load_model(register(digit_translator(), "numbers"))
    assert [column.name for column in model.metadata.get_output_schema()] == ["text", "score", "n_best"]
    told = model.predict(["one two", "", "three"])
    assert told["text"].tolist() == ["zwei eins", "", "drei"]
    assert told["n_best"][0][0] == {"text": "zwei eins", "score": told["score"][0]}
    with pytest.raises(UserError, match="reads texts"):
        model.predict([b"one"])
