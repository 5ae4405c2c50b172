"""MLflow in a sqlite file: what is logged can be found again, and mistakes are named in one line."""

import getpass
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra import model_registry, tracking
from infra.errors import UserError
from infra.retry import attempt

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _record(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/deep/record.db")
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")


def register(run_id, name, alias, tags):
    version = tracking.register(run_id, name, tags)
    model_registry.set_alias(name, alias, version)
    return version


@pytest.fixture
def run_id():
    return tracking.open_run("key-1", "a run", {"corpus": "demo:"})


def test_a_run_is_found_by_its_key(run_id, tmp_path):
    tracking.finish(run_id, "FINISHED")
    again = tracking.open_run("key-1", "a run", {"recipe": "r"})
    other = tracking.open_run("key-2", "a run", {})
    run = tracking.client().get_run(run_id)
    assert again == run_id != other
    assert run.info.status == "RUNNING"
    assert run.data.tags["corpus"] == "demo:"
    assert run.data.tags["recipe"] == "r"
    assert run.info.artifact_uri.startswith(str(tmp_path / "artifacts" / "mlflow"))


def test_a_run_says_where_it_comes_from(run_id, monkeypatch):
    tags = tracking.client().get_run(run_id).data.tags
    assert tags["mlflow.user"] == getpass.getuser()
    assert tags["mlflow.source.name"] == shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert tags.get("mlflow.source.git.commit", "") == head.stdout.strip()
    typed = ["/venv/bin/python", "/venv/bin/scriptorium", "train-asr", "--corpus", "manifest:http://me:secret@host/a b"]
    monkeypatch.setattr(sys, "orig_argv", typed)
    tracking.open_run("key-1", "a run", {})
    name = tracking.client().get_run(run_id).data.tags["mlflow.source.name"]
    assert name == "scriptorium train-asr --corpus 'manifest:http://me:***@host/a b'"


def test_the_experiment_opens_in_its_view_of_trainings(run_id, monkeypatch):
    client = tracking.client()
    kind = {"mlflow.experimentKind": "custom_model_development"}
    assert client.get_experiment_by_name("tests").tags.items() >= kind.items()
    client.create_experiment("of-before")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of-before")
    tracking.open_run("key-3", "a run", {})
    assert client.get_experiment_by_name("of-before").tags.items() >= kind.items()


def test_a_failed_run_says_why_until_it_goes_on(run_id):
    tracking.finish(run_id, "FAILED", "s3://me:secret@bucket is away")
    run = tracking.client().get_run(run_id)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "s3://me:***@bucket is away")
    assert tracking.open_run("key-1", "a run", {}) == run_id
    run = tracking.client().get_run(run_id)
    assert run.info.status == "RUNNING"
    assert "failure" not in run.data.tags


def test_a_killed_run_is_not_running_for_ever():
    code = "from infra import tracking; print(tracking.open_run('killed', 'a run', {}), flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ, **pipes) as child:
        killed = child.stdout.readline().strip()
        tracking.open_run("other", "a run", {})
        assert tracking.client().get_run(killed).info.status == "RUNNING"
        child.send_signal(signal.SIGKILL)
    tracking.open_run("other", "a run", {})
    run = tracking.client().get_run(killed)
    assert (run.info.status, run.data.tags["failure"]) == ("KILLED", "its process ended without a word")
    assert tracking.open_run("killed", "a run", {}) == killed
    assert tracking.client().get_run(killed).info.status == "RUNNING"


def test_parameters_in_any_number_and_length(run_id):
    tracking.log_params(run_id, {f"p{i}": i for i in range(250)} | {"long": "x" * 9000})
    params = tracking.client().get_run(run_id).data.params
    assert len(params) == 251
    assert params["p249"] == "249"
    assert params["long"] == "x" * 6000


def test_a_parameter_of_any_name_is_held(run_id):
    """A pattern of weights is part of one: fit.rate_factors, fit.freeze."""
    told = {"fit.backbone.*": 0.25, "fit.backbone.?": 0.5, "/a//b": 1, "é [%]": 2, "x" * 300: 3}
    for _ in range(2):
        tracking.log_params(run_id, told)
    data = tracking.client().get_run(run_id).data
    names = ["fit.backbone._", "fit.backbone.__", "_a__b", "é ___", "x" * 250]
    assert data.params == dict(zip(names, map(str, told.values()), strict=True))
    assert not set(names) & set(data.tags)


def test_a_parameter_that_changes_is_not_lost_and_a_password_is_not_shown(run_id):
    tracking.log_params(run_id, {"corpus": "a", "server": "http://me:secret@host/x"})
    tracking.log_params(run_id, {"corpus": "b"})
    data = tracking.client().get_run(run_id).data
    assert (data.params["corpus"], data.tags["corpus"]) == ("a", "b")
    assert data.params["server"] == "http://me:***@host/x"


def test_metrics_in_batches_and_once(run_id):
    rows = [("loss", 1 / (step + 1), step) for step in range(1500)]
    tracking.log_metrics(run_id, rows)
    tracking.log_metrics(run_id, [*rows[:10], ("loss", 0.5, 1500)])
    history = tracking.client().get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(s, v) for _, v, s in rows] + [
        (1500, 0.5)
    ]


def test_data_by_reference(run_id):
    digest = "ab" * 32
    tracking.log_dataset(run_id, "shards", digest, 's3://bucket/odd"name')
    run = tracking.client().get_run(run_id)
    dataset = run.inputs.dataset_inputs[0].dataset
    assert digest.startswith(dataset.digest)
    assert json.loads(dataset.source) == {"uri": 's3://bucket/odd"name'}
    assert run.data.tags["digest.shards"] == digest


def test_a_registered_model_comes_back_byte_for_byte(run_id, tmp_path):
    (tmp_path / "any-name").write_bytes(bytes(range(256)))
    tracking.log_files(run_id, [("model.json", b"{}"), ("deep/weights.pt", tmp_path / "any-name")], "bundle")
    assert register(run_id, "asr", "champion", {"bundle": "ab"}) == "1"
    second = tracking.open_run("key-2", "better", {})
    tracking.log_files(second, [("model.json", b"[]")], "bundle")
    assert register(second, "asr", "champion", {}) == "2"
    for name, content in (("asr/1", b"{}"), ("asr@champion", b"[]"), ("asr/2", b"[]")):
        with open(f"{model_registry.resolve_model(name)}/model.json", "rb") as file:
            assert file.read() == content
    with open(f"{model_registry.resolve_model('asr/1')}/deep/weights.pt", "rb") as file:
        assert file.read() == bytes(range(256))
    assert tracking.client().get_model_version("asr", "1").tags == {"bundle": "ab"}
    assert model_registry.resolve_model(str(tmp_path)) == str(tmp_path)
    assert model_registry.resolve_model("s3://bucket/bundle") == "s3://bucket/bundle"


@pytest.mark.parametrize("name", ["asr@challenger", "nobody@champion", "asr/7"])
def test_an_unknown_model_is_told_what_there_is(run_id, name):
    tracking.log_files(run_id, [("model.json", b"{}")], "bundle")
    register(run_id, "asr", "champion", {})
    with pytest.raises(UserError, match=r"asr@champion$") as caught:
        model_registry.resolve_model(name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_model_gets_a_guess(run_id):
    tracking.log_files(run_id, [("model.json", b"{}")], "bundle")
    register(run_id, "translation", "champion", {})
    with pytest.raises(UserError, match=r"; did you mean translation\? there are translation@champion$"):
        model_registry.resolve_model("translaton@champion")


def test_no_model_yet_and_a_name_that_is_none():
    with pytest.raises(UserError, match="none is registered yet"):
        model_registry.resolve_model("asr@champion")
    with pytest.raises(UserError, match="write NAME@ALIAS"):
        model_registry.resolve_model("asr")


def test_registered_files_that_are_gone(run_id):
    register(run_id, "asr", "champion", {})
    with pytest.raises(UserError, match="is registered, but"):
        model_registry.resolve_model("asr@champion")


def test_a_server_that_is_away(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "0")
    with pytest.raises(UserError, match="no MLflow answers at") as caught:
        tracking.open_run("key", "name", {})
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_somebody_deletes_while_it_trains(run_id):
    """Its progress is not shown any more, and that is all; what is to be kept says so in one line."""
    tracking.client().delete_run(run_id)
    assert not attempt(lambda: tracking.log_metrics(run_id, [("loss", 1.0, 1)]))
    with pytest.raises(UserError, match="MLflow at .* refuses: .*active") as caught:
        tracking.log_metrics(run_id, [("loss", 1.0, 1)])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_record(tmp_path, monkeypatch):
    path = tmp_path / "record.db"
    path.write_bytes(b"this is not a database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    with pytest.raises(UserError, match="no MLflow answers at .*not a database"):
        tracking.open_run("key", "name", {})


def test_a_database_without_its_driver(monkeypatch):
    import importlib.util

    if importlib.util.find_spec("psycopg2"):
        pytest.skip("it is installed here")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@127.0.0.1:9/record")
    with pytest.raises(UserError, match=r"psycopg2, is not installed; pip install 'scriptorium\[postgres\]'") as caught:
        tracking.open_run("key", "name", {})
    assert "secret" not in str(caught.value)


NAMES = ["asr", "my model", "a.b-c_d", "\u00e9t\u00e9", "n" * 255]
WRONG_NAMES = ["", " ", "a/b", "a:b", ".", "..", "a@b", "a\nb", " a", "n" * 256]
ALIASES = ["champion", "\u00e9", "a-b_c", "V", "v1a", "a" * 255]
WRONG_ALIASES = ["latest", "Latest", "v1", "V22", "a b", "a/b", "a:b", "a@b", "a" * 256]


@pytest.mark.parametrize(
    ("name", "alias"), [*((name, "champion") for name in WRONG_NAMES), *(("asr", alias) for alias in WRONG_ALIASES)]
)
def test_what_mlflow_refuses_is_refused_before(name, alias):
    with pytest.raises(UserError, match=f"{'model name' if alias == 'champion' else 'alias'} ") as caught:
        tracking.check_registration(name, alias)
    assert "\n" not in str(caught.value)


def test_what_is_not_refused_can_be_registered_and_found(run_id):
    for name, alias in [*((name, "champion") for name in NAMES), *(("asr", alias) for alias in ALIASES)]:
        tracking.check_registration(name, alias)
        version = register(run_id, name, alias, {})
        assert tracking.find_version(name, alias) == tracking.find_version(name, version) == version
    assert tracking.find_version("asr", "nobody") == tracking.find_version("nobody", "1") == ""
