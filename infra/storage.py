"""Files under a URI: a local path or s3://bucket/key, with the same few verbs for both.

A write is whole or not there at all: locally a temporary file is renamed, on S3 an object appears when its upload ends.
"""

import contextlib
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from infra.problem import Problem
from infra.settings import set_defaults, settings, without_password

RANGE_BYTES = 8 << 20  # what one request of a sequential read fetches
# Servers other than AWS often know no checksums in trailers; the manifest holds SHA-256 of every file anyway.
OTHER_SERVERS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
PARTIAL = ".partial-"  # the name of a file that is being written


HINTS = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the name",
    "InvalidAccessKeyId": "the server does not know this key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret is wrong; check AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "access denied; check the credentials and the bucket's policy",
    "403": "access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """size: bytes. version: changes whenever the content may have (mtime and size, or the ETag)."""

    size: int
    version: str


def is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


def join(uri: str, *names: str) -> str:
    return "/".join([uri.rstrip("/"), *names])


def read(uri: str, offset: int = 0, size: int | None = None) -> bytes:
    """The file's bytes, or the range of `size` bytes at `offset`. Raises FileNotFoundError."""
    if not is_s3(uri):
        with open(uri, "rb", buffering=0) as file:
            file.seek(offset)
            return file.readall() if size is None else _filled(file, size)
    if size == 0:
        return b""
    span = f"bytes={offset}-" if size is None else f"bytes={offset}-{offset + size - 1}"
    ranged = {} if offset == 0 and size is None else {"Range": span}
    try:
        with _named_errors(uri):
            return _client().get_object(**_place(uri), **ranged)["Body"].read()
    except EOFError:  # the range begins at the end or beyond
        return b""


def _filled(file: io.FileIO, size: int) -> bytes:
    """So many bytes, or as many as there are: one call of the system brings at most 2 GiB."""
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def open_binary(uri: str) -> BinaryIO:
    """A seekable reader; from S3 in requests of 8 MiB."""
    if not is_s3(uri):
        return open(uri, "rb")
    return io.BufferedReader(_RemoteFile(uri), RANGE_BYTES)  # type: ignore[return-value]  (read-only)


def write(uri: str, data: bytes) -> None:
    if is_s3(uri):
        with _named_errors(uri):
            _client().put_object(**_place(uri), Body=data)
        return
    with _whole(Path(uri)) as partial:
        partial.write_bytes(data)


def upload(path: Path, uri: str) -> None:
    """Copy a local file to `uri`."""
    if is_s3(uri):
        with _named_errors(uri):
            _client().upload_file(str(path), *_place(uri).values())
        return
    with _whole(Path(uri)) as partial:
        shutil.copyfile(path, partial)


def download(uri: str, path: Path) -> None:
    """Copy `uri` to a local file. Raises FileNotFoundError."""
    with _whole(path) as partial:
        if not is_s3(uri):
            shutil.copyfile(uri, partial)
            return
        with _named_errors(uri):
            _client().download_file(*_place(uri).values(), str(partial))


def entry(uri: str) -> Entry | None:
    """Size and version of one file, None where there is none."""
    if is_s3(uri):
        try:
            with _named_errors(uri):
                head = _client().head_object(**_place(uri))
        except FileNotFoundError:
            return None
        return Entry(head["ContentLength"], head["ETag"].strip('"'))
    path = Path(uri)
    return _local_entry(path.stat()) if path.is_file() else None


def listing(uri: str) -> dict[str, Entry]:
    """Every file below a folder or prefix, by its name relative to it, sorted. Empty where there is none."""
    found = dict(_list_s3(uri) if is_s3(uri) else _list_local(Path(uri)))
    return dict(sorted(found.items()))


def remove(uri: str) -> None:
    """Delete a file, or a folder or prefix with all that is below."""
    if not is_s3(uri):
        path = Path(uri)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    with _named_errors(uri):
        for name in _list_s3(uri):
            _client().delete_object(**_place(join(uri, name[0])))
        _client().delete_object(**_place(uri))


def copy(source: str, target: str) -> None:
    """Copy one file to another place of the same kind; on S3 the bytes stay on the server."""
    if not is_s3(source):
        upload(Path(source), target)
        return
    with _named_errors(source):
        _client().copy(_place(source), *_place(target).values())


def move(source: str, target: str) -> None:
    """Rename a folder or prefix. Locally one rename, refused where the target exists; on S3 copies, then deletions."""
    if not is_s3(source):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        return
    for name in listing(source):
        copy(join(source, name), join(target, name))
    remove(source)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a write to a full disk does not say where
        raise
    finally:
        partial.unlink(missing_ok=True)


def _local_entry(status: os.stat_result) -> Entry:
    return Entry(status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")


def _list_local(folder: Path, below: str = "", above: tuple[Path, ...] = ()) -> Iterator[tuple[str, Entry]]:
    """The files under a folder, those behind links too, but no folder inside itself."""
    above = (*above, folder.resolve())
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for item in found:
            with contextlib.suppress(FileNotFoundError):  # deleted by another process meanwhile, or a dangling link
                if item.is_dir():
                    inner = Path(item.path)
                    if not (item.is_symlink() and inner.resolve() in above):
                        yield from _list_local(inner, f"{below}{item.name}/", above)
                elif not item.name.startswith(PARTIAL) and item.is_file():
                    yield below + item.name, _local_entry(item.stat())


def _list_s3(uri: str) -> Iterator[tuple[str, Entry]]:
    place = _place(uri.rstrip("/") + "/")
    pages = _client().get_paginator("list_objects_v2").paginate(Bucket=place["Bucket"], Prefix=place["Key"])
    with _named_errors(uri):
        for page in pages:
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(place["Key"]), Entry(item["Size"], item["ETag"].strip('"'))


def _place(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


@cache
def _client_of(process: int, endpoint: str) -> Any:  # noqa: ARG001  (a client does not survive a fork: one a process)
    if endpoint:
        set_defaults(OTHER_SERVERS)
    import boto3  # half a second that a local run need not pay
    from botocore.config import Config

    retries = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=16)
    return boto3.Session().client("s3", endpoint_url=endpoint or None, config=retries)


def _client() -> Any:
    return _client_of(os.getpid(), settings().s3_endpoint)


@contextmanager
def _named_errors(uri: str) -> Iterator[None]:
    """Botocore's errors as FileNotFoundError or EOFError, or as a line that says what to mend."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as s3

    try:
        yield
    except s3.NoCredentialsError as error:
        raise Problem(f"{uri}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except (s3.ConnectionError, s3.HTTPClientError) as error:
        place = without_password(settings().s3_endpoint) or "AWS"
        raise Problem(f"{uri}: no S3 server answers at {place}; see AWS_ENDPOINT_URL") from error
    except (s3.ClientError, s3.BotoCoreError, Boto3Error) as error:
        raise _named(uri, error) from error


def _named(uri: str, error: Exception) -> Exception:
    cause = error if hasattr(error, "response") else error.__context__  # an upload wraps the server's answer
    code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri)
    if code in {"InvalidRange", "416"}:
        return EOFError(uri)
    return Problem(f"{uri}: {HINTS.get(code, ' '.join(str(error).split()))}")


class _RemoteFile(io.RawIOBase):
    """An S3 object as a seekable raw file."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        found = entry(uri)
        if found is None:
            raise FileNotFoundError(uri)
        self.uri, self.size, self.position = uri, found.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        return self.position

    def tell(self) -> int:
        return self.position

    def readall(self) -> bytes:
        data = read(self.uri, self.position, max(0, self.size - self.position))
        self.position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = read(self.uri, self.position, max(0, min(len(buffer), self.size - self.position)))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)
