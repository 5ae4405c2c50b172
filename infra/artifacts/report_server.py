"""Reports for a browser, which opens no file from a page of a server: read-only, for this machine alone.

    python -m infra.artifacts.report_server --port 5001       http://127.0.0.1:5001/report/DIGEST/report.html

What it gives out is what a report's manifest names, so that no path leads elsewhere.
"""

import argparse
import mimetypes
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from infra import storage
from infra.artifact_store import Artifact, artifact_at
from infra.errors import UserError, one_line_errors
from infra.settings import settings

HOST = "127.0.0.1"
KIND = "report"
PLACE = re.compile(f"/{KIND}/([0-9a-f]{{16}})/(.+)")


def find_file(path: str) -> tuple[Artifact, str] | None:
    """The report and the name of the file in it that a URL's path asks for, None where there is none."""
    asked = PLACE.fullmatch(unquote(path))
    if not asked:
        return None
    try:
        report = artifact_at(storage.join(settings().root, KIND, asked[1]))
    except UserError:  # none of this digest, or one that was never finished
        return None
    return (report, asked[2]) if report.kind == KIND and asked[2] in report.names() else None


class ReportRequest(BaseHTTPRequestHandler):
    """GET or HEAD of a file of a report."""

    def send_head(self) -> None:
        self._answer()

    def send_file(self) -> None:
        self.wfile.write(self._answer())

    do_HEAD, do_GET = send_head, send_file  # noqa: N815  (as the library calls them)

    def _answer(self) -> bytes:
        """The headers are sent, the body is returned. A name for this address that is another's is refused: a page
        from elsewhere would read the reports by it.
        """
        host = (self.headers.get("Host") or "").partition(":")[0]
        found = find_file(urlsplit(self.path).path) if host in {HOST, "localhost"} else None
        body = found[0].read(found[1]) if found else b"There is no such report.\n"
        kind = (mimetypes.guess_type(found[1])[0] or "application/octet-stream") if found else "text/plain"
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        return body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=int(settings().reports_port))
    with one_line_errors(), ThreadingHTTPServer((HOST, parser.parse_args().port), ReportRequest) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
