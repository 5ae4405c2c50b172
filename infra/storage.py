"""Files under a URI: a local path or s3://bucket/key, with the same few verbs for both.

A write is whole or not there at all: locally a temporary file is renamed, on S3 an object appears when its upload ends.
"""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from infra import s3_client

RANGE_BYTES = 8 << 20  # what one request of a sequential read fetches
COPIED_WHOLE = 1 << 30  # by one request, which every server knows; by parts what is larger, as S3 asks from 5 GB on
PARTIAL = ".partial-"  # the name of a file that is being written


class FileStat(NamedTuple):
    """size: bytes. version: changes whenever the content may have (mtime and size, or the ETag). modified: seconds
    since 1970.
    """

    size: int
    version: str
    modified: float = 0.0


def _modified(told: dict[str, Any]) -> float:
    """Whole seconds, as some answers of a server have no more; 0 where one says none."""
    return float(int(told["LastModified"].timestamp())) if "LastModified" in told else 0.0


def is_s3(uri: str) -> bool:
    return uri.startswith("s3://")


def join(uri: str, *names: str) -> str:
    return "/".join([uri.rstrip("/"), *names])


def read(uri: str, offset: int = 0, size: int | None = None) -> bytes:
    """The file's bytes, or the range of `size` bytes at `offset`. Raises FileNotFoundError."""
    if not is_s3(uri):
        return _read_local(uri, offset, size)
    if size == 0:
        return b""
    span = f"bytes={offset}-" if size is None else f"bytes={offset}-{offset + size - 1}"
    ranged = {} if offset == 0 and size is None else {"Range": span}
    try:
        place = s3_client.bucket_and_key(uri)
        return s3_client.request(uri, lambda s3: s3.get_object(**place, **ranged)["Body"].read())
    except EOFError:  # the range begins at the end or beyond
        return b""


def _read_local(path: str, offset: int, size: int | None) -> bytes:
    """By the system's own calls: a corpus is millions of small files, and Python's file objects double the time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = max(0, os.fstat(descriptor).st_size - offset) if size is None else size
        data = os.pread(descriptor, size, offset)
        while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
            data += more  # one call brings at most 2 GiB
        return data
    finally:
        os.close(descriptor)


def open_binary(uri: str) -> BinaryIO:
    """A seekable reader; from S3 in requests of 8 MiB."""
    if not is_s3(uri):
        return open(uri, "rb")
    return io.BufferedReader(_RemoteFile(uri), RANGE_BYTES)  # type: ignore[return-value]  (read-only)


def write(uri: str, data: bytes) -> None:
    if is_s3(uri):
        s3_client.request(uri, lambda s3: s3.put_object(**s3_client.bucket_and_key(uri), Body=data))
        return
    with _whole(Path(uri)) as partial:
        partial.write_bytes(data)


def upload(path: Path, uri: str) -> None:
    """Copy a local file to `uri`."""
    if is_s3(uri):
        s3_client.request(uri, lambda s3: s3.upload_file(str(path), *s3_client.bucket_and_key(uri).values()))
        return
    with _whole(Path(uri)) as partial:
        shutil.copyfile(path, partial)


@contextmanager
def stage_file(uri: str) -> Iterator[Path]:
    """An empty local file to fill; the file at `uri` when the block ends, gone where it fails."""
    if not is_s3(uri):
        with _whole(Path(uri)) as partial:
            yield partial
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "content")
        local.touch()
        yield local
        upload(local, uri)


def download(uri: str, path: Path) -> None:
    """Copy `uri` to a local file. Raises FileNotFoundError."""
    with _whole(path) as partial:
        if not is_s3(uri):
            shutil.copyfile(uri, partial)
            return
        s3_client.request(uri, lambda s3: s3.download_file(*s3_client.bucket_and_key(uri).values(), str(partial)))


def stat(uri: str) -> FileStat | None:
    """Size and version of one file, None where there is none."""
    if is_s3(uri):
        if not s3_client.bucket_and_key(uri)["Key"]:
            return None  # the bucket itself
        try:
            head = s3_client.request(uri, lambda s3: s3.head_object(**s3_client.bucket_and_key(uri)))
        except FileNotFoundError:
            return None
        return FileStat(head["ContentLength"], head["ETag"].strip('"'), _modified(head))
    path = Path(uri)
    return _local_entry(path.stat()) if path.is_file() else None


def list_files(uri: str, *, partial: bool = False) -> dict[str, FileStat]:
    """Every file below a folder or prefix, by its name relative to it, sorted. Empty where there is none. partial: with
    those that are being written, or that a killed writer left.
    """
    found = dict(_list_s3(uri) if is_s3(uri) else _list_local(Path(uri), partial=partial))
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
    for place in (*(join(uri, name) for name, _ in _list_s3(uri)), uri):
        s3_client.request(uri, lambda s3, place=place: s3.delete_object(**s3_client.bucket_and_key(place)))


def remove_stale(uri: str) -> None:
    """Delete what killed writers left half-written below a folder that none writes to now. S3 shows nothing of it."""
    if not is_s3(uri):
        for partial in Path(uri).rglob(f"{PARTIAL}*"):
            partial.unlink(missing_ok=True)


def copy(source: str, target: str) -> None:
    """Copy one file to another place of the same kind; on S3 the bytes stay on the server."""
    if not is_s3(source):
        upload(Path(source), target)
        return
    from boto3.s3.transfer import TransferConfig

    place = s3_client.bucket_and_key(target).values()
    whole = TransferConfig(multipart_threshold=COPIED_WHOLE, multipart_chunksize=COPIED_WHOLE)
    s3_client.request(source, lambda s3: s3.copy(s3_client.bucket_and_key(source), *place, Config=whole))


def move(source: str, target: str) -> None:
    """Rename a folder or prefix. Locally one rename, refused where the target exists; on S3 copies, then deletions."""
    if not is_s3(source):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        return
    for name in list_files(source):
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


def _local_entry(status: os.stat_result) -> FileStat:
    return FileStat(status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime)


def _remote_entry(item: dict[str, Any]) -> FileStat:
    return FileStat(item["Size"], item["ETag"].strip('"'), _modified(item))


def _list_local(
    folder: Path, below: str = "", above: tuple[Path, ...] = (), *, partial: bool = False
) -> Iterator[tuple[str, FileStat]]:
    """The files under a folder, those behind links too, but no folder inside itself."""
    above = (*above, folder.resolve())
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
        for item in found:
            if item.is_dir():
                inner = Path(item.path)
                if not (item.is_symlink() and inner.resolve() in above):
                    yield from _list_local(inner, f"{below}{item.name}/", above, partial=partial)
            elif (partial or not item.name.startswith(PARTIAL)) and item.is_file():
                try:
                    status = item.stat()
                except FileNotFoundError:  # deleted by another process meanwhile
                    continue
                yield below + item.name, _local_entry(status)


def _list_s3(uri: str) -> Iterator[tuple[str, FileStat]]:
    place = s3_client.bucket_and_key(uri.rstrip("/") + "/")
    wanted = {"Bucket": place["Bucket"], "Prefix": place["Key"]}
    while True:  # pages one by one: where the server goes away amid a million files, one page is asked for again
        page = s3_client.request(uri, lambda s3: s3.list_objects_v2(**wanted))
        for item in page.get("Contents", []):
            yield item["Key"].removeprefix(place["Key"]), _remote_entry(item)
        if not page.get("IsTruncated"):
            return
        wanted["ContinuationToken"] = page["NextContinuationToken"]


class _RemoteFile(io.RawIOBase):
    """An S3 object as a seekable raw file."""

    def __init__(self, uri: str) -> None:
        super().__init__()
        found = stat(uri)
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
