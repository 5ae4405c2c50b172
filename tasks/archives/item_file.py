"""The bytes of what a list names, wherever they lie, and whether they are still what they were when it was made."""

import io
import os
from typing import Any, BinaryIO

from infra import storage
from infra.errors import UserError
from tasks.archives.work_list import WorkItem, readable

BUFFER_BYTES = 1 << 20  # read at a time


class ItemFile(io.RawIOBase):
    """A file, or the range of one that is an archive. most: bytes that may be read of it, -1 for all."""

    def __init__(self, item: WorkItem, most: int = -1) -> None:
        self.item, self.at, self.read_bytes, self.most = item, 0, 0, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.item.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self.item.size - self.at))
        self.read_bytes += size
        if 0 <= self.most < self.read_bytes:
            raise OSError("no header is so long")
        data = storage.read(self.item.place, max(0, self.item.offset) + self.at, size)
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def open_item(item: WorkItem) -> BinaryIO:
    """A seekable reader of all pieces."""
    return io.BufferedReader(ItemFile(item), BUFFER_BYTES)  # type: ignore[return-value]  (read-only)


def split_reason(line: str) -> dict[str, str]:
    """The reason, the same for all files with this fault, and this one's detail."""
    reason, _, detail = line.partition(" (")
    return {"reason": reason, "detail": detail.removesuffix(")")}


def check_unchanged(item: WorkItem) -> None:
    """Raises UserError where a file is not what it was when it was listed."""
    if item.offset >= 0 and not item.file.startswith(readable(item.place)):
        return  # a piece of a packed archive, which nothing changes
    try:
        entry = storage.stat(item.place)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})") from error
    if entry is None:
        raise UserError("gone since it was listed")
    if entry.version != item.version:
        raise UserError(f"changed since it was listed ({entry.size} bytes now; the next run takes it up)")
