"""The bytes of a file, looked at where they lie: what checks a container reads of hours of sound as of a short clip."""

import io
import os
from collections.abc import Iterator
from typing import NamedTuple, overload

HELD = 1 << 25  # bytes: a longer slice is a view
BLOCK, SMALL = 1 << 20, 1 << 16  # bytes read at a time: when searching, and at least


class _Region(NamedTuple):
    """A piece of a file that is open, or of memory."""

    source: int | bytes
    begin: int
    size: int

    def read(self, at: int, size: int) -> bytes:
        size, begin = max(0, min(size, self.size - at)), self.begin + at
        if isinstance(self.source, bytes):
            return self.source[begin : begin + size]
        found = b""
        while len(found) < size and (more := os.pread(self.source, size - len(found), begin + len(found))):
            found += more
        return found


class FileBytes:
    """As much of `bytes` as tasks/audio/container.py asks for. A slice of more than HELD bytes is another of these, and
    + puts them together with each other and with bytes.
    """

    def __init__(self, regions: tuple[_Region, ...]) -> None:
        self.regions = tuple(region for region in regions if region.size)
        self.size, self.kept = sum(region.size for region in self.regions), (0, b"")

    @classmethod
    def of_file(cls, descriptor: int) -> "FileBytes":
        return cls((_Region(descriptor, 0, os.fstat(descriptor).st_size),))

    @property
    def whole_file(self) -> int | None:
        """The descriptor of the file that this is from its first byte to its last."""
        if len(self.regions) != 1 or self.regions[0].begin or isinstance(self.regions[0].source, bytes):
            return None
        source = self.regions[0].source
        return source if os.fstat(source).st_size == self.size else None

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> "bytes | FileBytes": ...
    def __getitem__(self, at: int | slice) -> "int | bytes | FileBytes":
        if isinstance(at, int):
            return self.read(at + self.size if at < 0 else at, 1)[0]
        begin, end, step = at.indices(self.size)
        if step != 1:
            return b"".join(block[(begin - place) % step :: step] for place, block in self.blocks(begin, end))
        return self.read(begin, max(0, end - begin)) if end - begin <= HELD else FileBytes(self._cut(begin, end))

    def __add__(self, other: "bytes | FileBytes") -> "FileBytes":
        return FileBytes((*self.regions, *_regions(other)))

    def __radd__(self, other: bytes) -> "FileBytes":
        return FileBytes((*_regions(other), *self.regions))

    def read(self, at: int, size: int) -> bytes:
        """So many bytes from here on, as far as there are so many."""
        begin, kept = self.kept
        if not begin <= at <= at + size <= begin + len(kept):
            wanted = max(size, SMALL)
            kept = b"".join(region.read(0, region.size) for region in self._cut(at, min(at + wanted, self.size)))
            begin = at
            if len(kept) <= BLOCK:
                self.kept = (begin, kept)
        return kept[at - begin : at - begin + size]

    def startswith(self, prefix: bytes | tuple[bytes, ...], at: int = 0) -> bool:
        longest = max(map(len, prefix)) if isinstance(prefix, tuple) else len(prefix)
        return at <= self.size and self.read(at, longest).startswith(prefix)

    def find(self, part: bytes, begin: int = 0, end: int | None = None) -> int:
        for place, block in self.blocks(begin, self.size if end is None else end, len(part) - 1):
            if (found := block.find(part)) >= 0:
                return place + found
        return -1

    def rfind(self, part: bytes, begin: int = 0, end: int | None = None) -> int:
        stop = self.size if end is None else min(end, self.size)
        while stop - begin >= len(part):
            start = max(begin, stop - SMALL)
            if (found := self.read(start, stop - start).rfind(part)) >= 0:
                return start + found
            if start == begin:
                break
            stop = start + len(part) - 1
        return -1

    def count(self, part: int, begin: int = 0) -> int:
        return sum(block.count(part) for _, block in self.blocks(begin, self.size))

    def blocks(self, begin: int, end: int, shared: int = 0) -> Iterator[tuple[int, bytes]]:
        """Where each begins, and its bytes; neighbors share so many."""
        end = min(end, self.size)
        for at in range(begin, end, BLOCK):
            pieces = self._cut(at, min(at + BLOCK + shared, end))
            yield at, b"".join(region.read(0, region.size) for region in pieces)

    def _cut(self, begin: int, end: int) -> tuple[_Region, ...]:
        found, at = list[_Region](), 0
        for source, first, size in self.regions:
            low, high = max(begin - at, 0), min(end - at, size)
            if low < high:
                found.append(_Region(source, first + low, high - low))
            at += size
        return tuple(found)


def _regions(data: bytes | FileBytes) -> tuple[_Region, ...]:
    return data.regions if isinstance(data, FileBytes) else (_Region(data, 0, len(data)),)


class FileBytesReader(io.RawIOBase):
    """A file to read them at, for libsndfile."""

    def __init__(self, data: FileBytes) -> None:
        self.data, self.at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: len(self.data)}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer) -> int:  # noqa: ANN001  (a buffer of any kind)
        found = self.data.read(self.at, len(buffer))
        buffer[: len(found)] = found
        self.at += len(found)
        return len(found)
