"""A secret never reaches what a user, a log or a record sees, however it is written into a URL."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import mlflow_client, tracking
from infra.errors import UserError, redact_url

# Long enough that it is no part of what stands around it; nothing a URL cannot hold, but all that divides one.
SECRETS = st.text("abcXYZ0189/@:#?&;=+%~!$',()[]._-", min_size=8, max_size=30).map(lambda text: f"S3cr{text}")
NAMES = st.sampled_from(
    ["password", "sslpassword", "PASSWORD", "passwd", "token", "access_token", "api_key", "AWSAccessKeyId", "Signature",
     "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Credential", "aws_secret_access_key", "sig", "pass%77ord"]
)  # fmt: skip
AROUND = st.sampled_from(["{}", "no server at {} (x): it said 'no'", "[{}]", "a\n{}\nb", "['{}', 'http://h:80/p']"])
URLS = st.sampled_from(
    ["http://me:{}@host:5000/x", "s3://AKIAX:{}@bucket/key", "redis://:{}@host", "a+b://m@x.y:{}@h/d"]
)


@given(URLS, AROUND, SECRETS, st.booleans())
def test_a_password_is_hidden(url, around, secret, encoded):
    written = quote(secret, safe="") if encoded else secret
    shown = redact_url(around.format(url.format(written)))
    assert written not in shown
    assert "S3cr" not in shown
    assert "***@" in shown


@given(NAMES, AROUND, SECRETS, st.sampled_from("?&;"))
def test_a_secret_in_a_query_is_hidden(name, around, secret, sign):
    written = secret.replace("&", "")
    shown = redact_url(around.format(f"postgresql://me@host/db?sslmode=require{sign}{name}={written}"))
    assert written not in shown
    assert "S3cr" not in shown
    assert "sslmode=require" in shown


@given(SECRETS, st.data())
def test_what_a_library_quotes_of_a_url_is_hidden(secret, data):
    url = f"postgresql://me:{secret}@host/db"
    start = data.draw(st.integers(0, len(secret.split("/")) - 1))
    part = secret.split("/")[start]
    shown = redact_url(f"invalid port: <<{part}>> of <<{secret}>> in {url}", url)
    assert secret not in shown
    assert len(part) < 3 or f"<<{part}>>" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000",
        "sqlite:////data/mlflow.db",
        "s3://bucket/some/prefix",
        "postgresql://me@host:5432/db?sslmode=require",
        "model asr@champion: not registered at http://127.0.0.1:5000; there are asr@champion",
        "http://host/page?name=x&page=2",
        "tokens.kind=characters tokens.vocabulary_size=100",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact_url(text) == text


@pytest.mark.parametrize(
    "text", ["host=h password=S3cr user=me", "AWS_SECRET_ACCESS_KEY=S3cr", "?token=S3cr", "token=S3cr"]
)
def test_options_are_hidden(text):
    assert "S3cr" not in redact_url(text)


@pytest.mark.parametrize("password", ["S3cr/et", "S3@cr", "S3:cr#et", "S3%2Fcr"])
def test_a_server_that_is_away_keeps_the_password(monkeypatch, password):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{password}@127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "0")
    with pytest.raises(UserError, match="no MLflow answers at") as caught:
        tracking.open_run("key", "name", {})
    for part in (password, password.split("/")[0], "S3"):
        assert part not in str(caught.value)


def test_settings_are_shown_without_passwords(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:S3cr/e@t#x@db/mlflow?sslpassword=S3cr")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:S3cr:x@localhost:9000")
    done = subprocess.run([sys.executable, "-m", "infra.settings"], capture_output=True, text=True, check=True)
    assert "S3cr" not in done.stdout
    assert "postgresql://me:***@db/mlflow?sslpassword=***" in done.stdout


def test_tags_titles_and_data_of_a_run_hold_no_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    corpus = "manifest:http://me:S3cr/x@host/corpus"
    run_id = tracking.open_run("key", f"r on {corpus}", {"corpus": corpus})
    tracking.log_params(run_id, {"corpus": corpus})
    tracking.log_dataset(run_id, "shards", "ab" * 32, "s3://KEY:S3cr/x@bucket/a")
    run = mlflow_client.client().get_run(run_id)
    assert "S3cr" not in str(run.to_dictionary()) + run.inputs.dataset_inputs[0].dataset.source


def home(folder, **variables):
    """Where a command that is called from this folder keeps its state."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent.parent.parent)} | variables
    done = subprocess.run(
        [sys.executable, "-c", "from infra.settings import HOME, settings; print(HOME, settings().root)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    )
    place, root = done.stdout.split()
    assert root == f"{place}/artifacts"
    return Path(place)


def test_state_lies_in_one_place_wherever_a_command_is_called_from(tmp_path):
    inner, outer = tmp_path / "project/deep/down", tmp_path / "elsewhere"
    inner.mkdir(parents=True)
    outer.mkdir()
    user = {"HOME": str(tmp_path / "user")}
    assert home(inner, **user) == home(outer, **user) == tmp_path / "user/.local/share/scriptorium"
    assert home(outer, **user, XDG_DATA_HOME=str(tmp_path / "data")) == tmp_path / "data/scriptorium"
    (tmp_path / "project/.scriptorium").mkdir()
    assert home(inner, **user) == home(tmp_path / "project", **user) == tmp_path / "project/.scriptorium"
    assert home(inner, **user, SCRIPTORIUM_HOME="../here") == tmp_path / "project/deep/down/../here"
