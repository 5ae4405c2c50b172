"""A bounded local folder of whole files from S3: the least recently read leave first."""

import contextlib
import hashlib
import os
import stat
import time
from pathlib import Path

from infra import storage
from infra.settings import settings

ABANDONED_SECONDS = 3600  # a download that has not grown for so long was killed


def local_copy(uri: str) -> Path:
    """A local copy of an immutable remote file, fetched whole if it is not there yet."""
    folder = Path(settings().cache_folder)
    path = folder / hashlib.sha256(f"{settings().s3_endpoint} {uri}".encode()).hexdigest()[:32]
    if not path.exists():
        found = storage.stat(uri)
        make_room(folder, found.size if found else 0)
        storage.download(uri, path)
    with contextlib.suppress(FileNotFoundError):  # another process made room just now; who opens it sees that
        os.utime(path)
    return path


def make_room(folder: Path, size: int) -> None:
    """Delete the least recently read copies until `size` bytes fit within SCRIPTORIUM_CACHE_MB."""
    limit = int(settings().cache_mb) << 20
    copies = []
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # deleted by another process meanwhile
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                copies.append((status.st_mtime, status.st_size, path))
    held = sum(copy[1] for copy in copies)
    for read_at, bytes_held, path in sorted(copies):
        if held + size <= limit:
            return
        if path.name.startswith(storage.PARTIAL) and time.time() - read_at < ABANDONED_SECONDS:
            continue  # being fetched by another process
        path.unlink(missing_ok=True)
        held -= bytes_held
