"""Tar files of samples: byte for byte what webdataset's TarWriter makes of them, with no clock and no user in it.

Written here and not by TarWriter, which costs ingest more than a tenth: 2,000 clips of Common Voice took 9.8 s in place
of 8.3 with the start of Ray, 1.56 in place of 1.46 without, for it imports torch into every worker and takes 75 us a
sample in place of 19.
"""

import tarfile
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Self

BLOCK = tarfile.BLOCKSIZE


class SampleWriter:
    """`with SampleWriter(file) as tar: offset, size = tar.write("key", {"wav": ..., "json": ...})`, into an empty file.

    The same bytes as `webdataset.TarWriter(file, encoder=False, user="", group="", mode=0o644, mtime=0)`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size = file, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            end = self.size + 2 * BLOCK  # filled up to a record, as tar ends
            self.file.write(bytes(2 * BLOCK + -end % tarfile.RECORDSIZE))

    def write(self, key: str, members: dict[str, bytes]) -> tuple[int, int]:
        """A sample's members `<key>.<name>`, sorted by name; offset and size of their region of the tar."""
        parts: list[bytes] = []
        for name in sorted(members):
            content = members[name]
            parts += header(f"{key}.{name}", len(content)), content, bytes(-len(content) % BLOCK)
        begin, region = self.size, b"".join(parts)
        self.file.write(region)
        self.size += len(region)
        return begin, len(region)


def header(name: str, size: int) -> bytes:
    """The blocks before a member, as tarfile.TarInfo makes them, in a tenth of the time for the usual name."""
    if len(name) > 100 or not name.isascii() or size >= 8**11:
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf(tarfile.PAX_FORMAT)
    named, sized = name.encode(), b"%011o" % size
    checksum = _SAME_SUM + sum(named) + sum(sized)
    return b"%b%b%b\0%b%06o\0 %b" % (named.ljust(100, b"\0"), _OWNER, sized, _CLOCK, checksum, _KIND)


_PLAIN = tarfile.TarInfo("x").tobuf(tarfile.PAX_FORMAT)
_OWNER, _CLOCK, _KIND = _PLAIN[100:124], _PLAIN[136:148], _PLAIN[156:]
_SAME_SUM = sum(_OWNER + _CLOCK + b" " * 8 + _KIND)  # the sum is taken with blanks in its place


def members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member of a tar that SampleWriter wrote, or of a region of it, one in memory at a time.

    file: seekable. For regions, where tarfile takes five times as long; whole tars are read by webdataset.
    """
    while (block := file.read(BLOCK)).strip(b"\0"):
        found = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        if found.type != tarfile.REGTYPE:  # the name or the size needs more than one block
            file.seek(-BLOCK, 1)
            with tarfile.open(fileobj=file, mode="r:") as rest:
                yield from ((member.name, _content(rest, member)) for member in rest)
            return
        data = file.read(found.size + -found.size % BLOCK)
        yield found.name, data[: found.size]


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member)
    assert content is not None  # SampleWriter writes regular members only
    return content.read()
