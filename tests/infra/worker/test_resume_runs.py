"""What is asked of Prefect's server. That a run then goes on is shown by `python -m infra.staging --faults`."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from infra.errors import UserError
from infra.worker.resume_runs import resume_runs

RUNS = [
    {"id": "a", "name": "first", "state_type": "RUNNING"},
    {"id": "b", "name": "second", "state_type": "PENDING"},
    {"id": "c", "name": "third", "state_type": "CANCELLING"},
]


@contextmanager
def server(*statuses, answer="ACCEPT"):
    """Answers with these statuses first, then as Prefect does; its address and what it was asked."""
    asked, waiting = [], list(statuses)

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(waiting.pop(0) if waiting else 200)
            self.end_headers()
            asked.append((self.path, question))
            told = RUNS if self.path.endswith("filter") else {"status": answer, "details": {"reason": "of a rule"}}
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/api", asked
        finally:
            running.shutdown()
            thread.join()


def test_lost_runs_are_scheduled_again_and_one_that_was_to_end_ends():
    with server() as (api, asked):
        assert resume_runs(api, "local") == ["first", "second"]
    (_, wanted), *changes = asked
    assert wanted["work_pools"] == {"name": {"any_": ["local"]}}
    assert {run["state_type"] for run in RUNS} == {*wanted["flow_runs"]["state"]["type"]["any_"]}
    assert [(path, told["state"]["type"]) for path, told in changes] == [
        ("/api/flow_runs/a/set_state", "SCHEDULED"),
        ("/api/flow_runs/b/set_state", "SCHEDULED"),
        ("/api/flow_runs/c/set_state", "CANCELLED"),
    ]


def test_a_server_that_is_not_well_yet_is_waited_for(monkeypatch):
    monkeypatch.setattr("infra.retry.FIRST_SECONDS", 0.01)
    with server(503, 500) as (api, _):
        assert resume_runs(api, "local") == ["first", "second"]


def test_a_refusal_is_told(monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "0")
    with (
        server(answer="REJECT") as (api, _),
        pytest.raises(UserError, match="first cannot be AwaitingRetry: of a rule"),
    ):
        resume_runs(api, "local")
    with server(404) as (api, asked), pytest.raises(UserError, match="no Prefect server answers"):
        resume_runs(api, "local")
    assert len(asked) == 1
    with pytest.raises(UserError, match="no Prefect server answers at http://127.0.0.1:9/api"):
        resume_runs("http://127.0.0.1:9/api", "local")
