"""S3 servers to test against: moto (knows everything, checks no signature) and rclone (checks signatures)."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KEY, SECRET, BUCKET = "tester", "a-long-secret", "bucket"


@dataclass(frozen=True)
class Server:
    """endpoint: its URL."""

    endpoint: str

    def use(self, monkeypatch, key=KEY, secret=SECRET):
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")


@contextmanager
def served(log: Path, *command: str) -> Iterator[str]:
    """A server on a free loopback port, which the command names as {port}; its URL. Ended afterwards."""
    port = free_port()
    with log.open("wb") as out:
        child = subprocess.Popen([part.replace("{port}", port) for part in command], stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        await_server(url, child, log)
        yield url
    finally:
        child.terminate()
        child.wait()


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def await_server(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """Return when it answers."""
    limit = time.monotonic() + 90
    while time.monotonic() < limit:
        assert child.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as error:  # it answers, if only with a refusal
            error.close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer at {url}: {log.read_text()}")


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    import boto3

    log = tmp_path_factory.mktemp("moto") / "log"
    with served(log, sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}") as url:
        client = boto3.client(
            "s3", endpoint_url=url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )
        client.create_bucket(Bucket=BUCKET)
        yield Server(url)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "data" / BUCKET).mkdir(parents=True)
    program = str(Path(sys.executable).with_name("rclone"))
    how = ("--addr", "127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}", "--vfs-cache-mode", "writes")
    with served(folder / "log", program, "serve", "s3", *how, str(folder / "data")) as url:
        yield Server(url)
