"""Archives from outside, member by member: tar, plain or compressed with gzip, bzip2 or xz, and zip.

Refused, by the member's name: absolute names, '..', links, devices, headers longer than any tool writes, and contents
out of all proportion. Nothing is ever written under a member's name.
"""

import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol, Self

from infra import storage
from infra.errors import UserError
from infra.settings import settings
from tasks.corpora.archive_format import COMPRESSED, archive_format, named_errors

RATIO, ALLOWANCE_BYTES = 100, 64 << 20  # unpacked size at most: ratio times the packed size, and this much more
HEADER_BYTES = 1 << 20  # between two members of a tar nothing longer than this is read
EXTENDED_BYTES = 16 << 10  # of a header that holds a long name or attributes: tarfile takes their square in time
NAME_BYTES = 4096  # of a path, as systems have it
SMALL_BYTES = 64 << 10  # of a member that is read while a tar is listed
KEPT_FREE_BYTES = 256 << 20

ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class SupportsRead(Protocol):
    """A file of which nothing is asked but its bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


Member = tuple[str, int, SupportsRead]  # name, size, content


def read_members(uri: str) -> Iterator[Member]:
    """The members of a zip or a compressed tar in their order; the content of each is to be read before the next."""
    kind = archive_format(uri)
    with named_errors(uri), storage.open_binary(uri) as file:
        found = _zip_members(uri, file) if kind == "zip" else _tar_members(uri, file, kind)
        for name, size, content in found:
            yield name, size, _Content(uri, size, content)


class _Content:
    """A member's bytes, as many as were announced. Raises UserError for damage."""

    def __init__(self, uri: str, size: int, content: SupportsRead) -> None:
        self.uri, self.left, self.content = uri, size, content

    def read(self, size: int = -1) -> bytes:
        with named_errors(self.uri):
            data = self.content.read(size)
            self.left -= len(data)
            if self.left < 0 or (self.left and not data):
                raise EOFError("a member has another size than it says")
        return data


def index_plain_tar(uri: str, read: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, int, int], bytes]]:
    """The members of a plain .tar where they lie: name, (URI, offset, size), and the content of a small one whose name
    ends in one of `read`, for it costs nothing here and a request later; else b"".
    """
    with named_errors(uri), storage.open_binary(uri) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        stream = _Bounded(uri, file)
        tar = _Tar.open(fileobj=stream, mode="r:", **_Tar.READ)  # type: ignore[call-overload]  (a file to read)
        for name, member in _listed(uri, tar):
            if member.offset_data + member.size > end:
                raise UserError(f"{uri}: cut off in member {name!r}; download it again")
            stream.expect(name, SMALL_BYTES)
            wanted = member.size <= SMALL_BYTES and name.lower().endswith(read)
            content = tar.extractfile(member) if wanted else None
            yield name, (uri, member.offset_data, member.size), content.read() if content else b""


def _tar_members(uri: str, file: BinaryIO, compression: str) -> Iterator[Member]:
    packed, places = file.seek(0, os.SEEK_END), _written_places()
    file.seek(0)
    stream = _Bounded(uri, COMPRESSED[compression][1](file) if compression in COMPRESSED else file)
    tar = _Tar.open(fileobj=stream, mode="r|", **_Tar.READ)  # type: ignore[call-overload]  (all it asks is read)
    for name, member in _listed(uri, tar):
        check_size(uri, name, stream.total + member.size, packed)
        check_room(uri, name, member.size, places)
        stream.expect(name, member.size)
        content = tar.extractfile(member)
        assert content is not None  # a regular file, as was checked
        yield name, member.size, content


_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_EXTENDED = (*_LONG, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


class _Header(tarfile.TarInfo):
    """A header that is damaged is an error; tarfile takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: "_Tar") -> Self:  # type: ignore[override]  (of this subclass alone)
        try:
            found = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  (not in its stubs)
            tarfile_.ended = True
            raise
        except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]  (not in its stubs)
            if tarfile_.ended:
                raise
            raise tarfile.ReadError("damaged or cut off between its members") from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"damaged or cut off between its members: {error}") from error
        tarfile_.ended = False
        return found

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.size < 0 or (found.type in _EXTENDED and found.size > EXTENDED_BYTES):
            raise tarfile.ReadError(f"a header of {found.size:,} bytes, where {EXTENDED_BYTES:,} are allowed")
        return found


class _Tar(tarfile.TarFile):
    """Goes on behind an end, as archives stand one behind the other in a file. ended: a block of zeros was the last."""

    READ = {"tarinfo": _Header, "ignore_zeros": True, "encoding": "utf-8", "errors": "surrogateescape"}
    ended = False


def _listed(uri: str, tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The files of a tar, by their checked names. Raises UserError for what such an archive must not hold."""
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  (of millions)
        name = check_name(uri, member.name)
        if member.issparse() or not (member.isreg() or member.isdir()):
            what = "sparse" if member.issparse() else "a link or a device"
            raise UserError(f"{uri}: member {member.name!r} is {what}; such an archive is not read")
        if member.size < 0:
            raise tarfile.ReadError(f"member {name!r} has {member.size} bytes")
        if name and not member.isdir():
            yield name, member


class _Bounded:
    """The bytes of a tar as tarfile reads them, which believes what headers say: no more than members announce."""

    def __init__(self, uri: str, stream: Any) -> None:
        self.uri, self.stream = uri, stream
        self.total, self.limit, self.member = 0, HEADER_BYTES, ""

    def expect(self, member: str, size: int) -> None:
        self.member, self.limit = member, self.total + size + HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_BYTES or self.total > self.limit:
            place = f"after member {self.member!r}" if self.member else "at its begin"
            raise UserError(f"{self.uri}: {place} stands more than any header has, and no member; it is not read")
        data = self.stream.read(size)
        self.total += len(data)
        return data

    def seek(self, offset: int) -> int:
        return self.stream.seek(offset)

    def tell(self) -> int:
        return self.stream.tell()


def _zip_members(uri: str, file: BinaryIO) -> Iterator[Member]:
    packed, places = file.seek(0, os.SEEK_END), _written_places()
    with zipfile.ZipFile(file) as archive:
        total = 0
        for member in archive.infolist():
            name = check_name(uri, _zip_name(member))
            if stat.S_IFMT(member.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise UserError(f"{uri}: member {name!r} is a link or a device; such an archive is not read")
            if member.is_dir() or not name:
                continue
            if member.flag_bits & 1:
                raise UserError(f"{uri}: member {name!r} is encrypted; unpack it and name the folder")
            if member.compress_type not in ZIP_METHODS:
                told = f"is compressed by method {member.compress_type}, which is not read here"
                raise UserError(f"{uri}: member {name!r} {told}; unpack it and name the folder")
            total += member.file_size
            check_size(uri, name, total, packed)
            check_room(uri, name, member.file_size, places)
            with archive.open(member) as content:
                yield name, member.file_size, content


def _zip_name(member: zipfile.ZipInfo) -> str:
    """A name that is not said to be UTF-8 is read as UTF-8, which macOS writes so, else as the CP437 it should be."""
    if member.flag_bits & 0x800 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def readable_name(name: str) -> str:
    """A file's name in Unicode: bytes that are not UTF-8 are Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode(errors="surrogateescape").decode("latin-1")
    return name


def check_name(uri: str, name: str) -> str:
    """The clean name, "" for the archive's own folder. Raises UserError for one that leads outside or no path is."""
    parts = re.split(r"[/\\]", readable_name(name))
    if len(name) > NAME_BYTES or "\0" in name:
        raise UserError(f"{uri}: the name of a member, {name[:40]!r}..., has {len(name):,} characters; it is not read")
    if not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{uri}: member {name!r} leads outside the archive; such an archive is not read")
    return "/".join(part for part in parts if part not in {"", "."})


def check_size(uri: str, name: str, total: int, packed: int) -> None:
    """Raises UserError where the contents so far are too large for the archive."""
    if total > RATIO * packed + ALLOWANCE_BYTES:
        raise UserError(
            f"{uri}: at member {name!r} it has unpacked to {total >> 20} MB, more than {RATIO} times its size; "
            "unpack it yourself and name the folder if that is right"
        )


def _written_places() -> list[str]:
    """Folders of this machine that contents are written to."""
    places = {tempfile.gettempdir(), settings().root} - {""}
    return [place for place in places if not storage.is_s3(place) and os.path.exists(place)]


def check_room(uri: str, name: str, size: int, places: list[str]) -> None:
    """Raises UserError where a member is too large for the disk of one of these folders."""
    for place in places:
        disk = shutil.disk_usage(place)
        if size > disk.free - KEPT_FREE_BYTES:
            raise UserError(f"{uri}: member {name!r} ({size >> 20} MB) does not fit on the disk of {place}; make room")
