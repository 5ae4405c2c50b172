"""The server of reports gives out what a report holds, and nothing else."""

import threading
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer

import pytest

from infra.artifact_store import new_draft
from infra.artifacts.report_server import HOST, ReportRequest


def made(kind, **files):
    with new_draft(kind) as out:
        for name, content in files.items():
            out.put(name, content)
    return out.result()


@pytest.fixture
def ask(artifact_root):
    with ThreadingHTTPServer((HOST, 0), ReportRequest) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def asked(path, host=HOST, method="GET"):
            connection = HTTPConnection(HOST, server.server_port, timeout=10)
            connection.request(method, path, headers={"Host": f"{host}:{server.server_port}"})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()

        yield asked
        server.shutdown()


def test_a_page_and_the_sound_beside_it(ask):
    report = made("report", **{"report.html": b"<p>", "audio/a b.mp3": b"sound"})
    folder = f"/report/{report.digest[:16]}"
    assert ask(f"{folder}/report.html") == (200, "text/html; charset=utf-8", b"<p>")
    assert ask(f"{folder}/audio/a%20b.mp3?x=1") == (200, "audio/mpeg", b"sound")
    assert ask(f"{folder}/report.html", method="HEAD") == (200, "text/html; charset=utf-8", b"")
    assert ask(f"{folder}/report.html", method="POST")[0] == 501


def test_nothing_else(ask, artifact_root):
    report, bundle = made("report", **{"report.html": b"<p>"}), made("bundle", **{"report.html": b"secret"})
    (artifact_root / "secret").write_text("secret")
    (artifact_root / "report" / report.digest[:16] / "beside").write_text("secret")
    folder = f"/report/{report.digest[:16]}"
    for path in (
        "/",
        folder,
        f"{folder}/",
        f"{folder}/beside",
        f"{folder}/manifest.json",
        f"{folder}/../../secret",
        f"{folder}/%2e%2e/%2e%2e/secret",
        f"{folder}/..%2f..%2fsecret",
        f"/bundle/{bundle.digest[:16]}/report.html",
        f"/report/..%2fbundle%2f{bundle.digest[:16]}/report.html",
        f"/report/{'0' * 16}/report.html",
        f"{folder}/%00",
    ):
        status, _, body = ask(path)
        assert (status, b"secret" in body) == (404, False), path


def test_a_name_of_another_for_this_address_is_refused(ask):
    report = made("report", **{"report.html": b"<p>"})
    assert ask(f"/report/{report.digest[:16]}/report.html", host="evil.example")[0] == 404
    assert ask(f"/report/{report.digest[:16]}/report.html", host="localhost")[0] == 200
