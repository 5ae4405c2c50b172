"""What does not answer is waited for, up to a stated time; a line when that begins and one when it ends."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infra import storage, tracking
from infra.errors import UserError
from infra.retry import attempt


@contextmanager
def answering(script):
    """An HTTP server on this machine that answers with one status of the script after the other, the last for ever."""

    class Reply(BaseHTTPRequestHandler):
        def answer(self):
            status = script.pop(0) if len(script) > 1 else script[0]
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = do_HEAD = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Reply)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_busy_s3_server_is_waited_for_in_two_lines(moto, monkeypatch, capfd, status):
    moto.use(monkeypatch)
    with answering([status] * 5 + [200]) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        storage.write("s3://bucket/x", b"x")
    begins, ends = capfd.readouterr().err.splitlines()
    assert begins == f"scriptorium: the S3 server at {url} does not answer; waiting for it, 300 s at most"
    assert ends.startswith(f"scriptorium: the S3 server at {url} answers again after ")


@pytest.mark.parametrize("status", [403, 400, 501])
def test_what_waiting_does_not_mend_is_said_at_once(moto, monkeypatch, capfd, status):
    moto.use(monkeypatch)
    with answering([status]) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UserError):
            storage.write("s3://bucket/x", b"x")
    assert capfd.readouterr().err == ""


def test_patience_ends(moto, monkeypatch):
    moto.use(monkeypatch)
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "1")
    with answering([503]) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(UserError):
            storage.write("s3://bucket/x", b"x")
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "soon")
    with pytest.raises(UserError, match="SCRIPTORIUM_PATIENCE=soon: give seconds"):
        storage.read("s3://bucket/x")


def test_what_only_shows_progress_waits_for_nothing(monkeypatch, capfd):
    with answering([503]) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        for _ in range(3):
            assert not attempt(lambda: tracking.log_metrics("run", [("loss", 1.0, 1)]))
    assert capfd.readouterr().err.splitlines() == [
        f"scriptorium: MLflow at {url} does not answer; its progress is not shown"
    ]
