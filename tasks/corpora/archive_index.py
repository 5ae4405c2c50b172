"""Archives from outside (.tar, .tar.gz, .tgz, .zip): their members, checked, as byte ranges that can be read at random.

Refused, by the member's name: absolute names, '..', links, devices, and contents out of all proportion.
"""

import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Draft
from infra.errors import UserError
from infra.settings import settings

PIECES = "pieces"
INDEX = f"{PIECES}/index.parquet"
PIECE_BYTES = 64 << 20
RATIO, ALLOWANCE_BYTES = 100, 64 << 20  # unpacked size at most: ratio times the packed size, and this much more
HEADER_BYTES = 1 << 20  # between two members of a tar nothing longer than this is read
SMALL_BYTES = 64 << 10  # of a member that is read while a tar is listed
KEPT_FREE_BYTES = 256 << 20

COLUMNS = pa.schema({"name": pa.string(), "piece": pa.int32(), "offset": pa.int64(), "size": pa.int64()})
AGAIN = "//"  # stands in no checked name
Member = tuple[str, int, IO[bytes]]  # name, size, content


def unpack_archive(uri: str, draft: Draft) -> dict[str, tuple[str, int, int]]:
    """The members of a compressed archive, copied into pieces in the draft: name to (URI, offset, size)."""
    if INDEX in draft.finished():
        return _index_of(draft)
    with _named_errors(uri), storage.open_binary(uri) as file:
        members = read_zip_members(uri, file) if uri.lower().endswith(".zip") else read_gzip_members(uri, file)
        return write_pieces(members, draft)


def unpack_shards(folder: str, names: Iterable[str], draft: Draft) -> dict[str, tuple[str, int, int]]:
    """The members of several .tar.gz in one index, as `<archive>/<member>`."""
    if INDEX in draft.finished():
        return _index_of(draft)

    def members() -> Iterator[Member]:
        for archive in names:
            uri, seen = storage.join(folder, archive), Counter[str]()
            with _named_errors(uri), storage.open_binary(uri) as file:
                for name, size, content in read_gzip_members(uri, file):
                    yield shard_member(archive, name, seen), size, content

    with _named_errors(folder):
        return write_pieces(members(), draft)


def shard_member(archive: str, name: str, seen: Counter[str]) -> str:
    """What a member of one of several archives is called: in Unicode, and one whose name comes again as no other can be
    called.
    """
    name = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    seen[name] += 1
    return f"{archive}/{name}" + (f"{AGAIN}{seen[name]}" if seen[name] > 1 else "")


def write_pieces(members: Iterable[Member], draft: Draft) -> dict[str, tuple[str, int, int]]:
    """Copy contents into files of about 64 MB in the draft, then their index."""
    if INDEX in draft.finished():
        return _index_of(draft)
    rows: list[tuple[str, int, int, int]] = []
    left, number = iter(members), 0
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "piece")
        while more := _fill(local, left, number):
            rows += more
            draft.put(f"{PIECES}/{number:05d}", local)
            number += 1
        pq.write_table(pa.Table.from_pylist([dict(zip(COLUMNS.names, r, strict=True)) for r in rows], COLUMNS), local)
        draft.put(INDEX, local)
    return _index_of(draft)


def _fill(local: Path, members: Iterator[Member], number: int) -> list[tuple[str, int, int, int]]:
    """Write contents to a file until it is large enough; their rows in the index."""
    rows = []
    with local.open("wb") as piece:
        for name, size, content in members:
            rows.append((name, number, piece.tell(), size))
            shutil.copyfileobj(content, piece, 1 << 20)
            if piece.tell() >= PIECE_BYTES:
                break
    return rows


def index_plain_tar(uri: str, read: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, int, int], bytes]]:
    """The members of a plain .tar where they lie: name, (URI, offset, size), and the content of a small one whose name
    ends in one of `read`, for it costs nothing here and a request later; else b"".
    """
    with _named_errors(uri), storage.open_binary(uri) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if name := check_tar_member(uri, member):
                    if member.offset_data + member.size > end:
                        raise UserError(f"{uri}: cut off in member {name!r}; download it again")
                    wanted = member.size <= SMALL_BYTES and name.lower().endswith(read)
                    content = tar.extractfile(member) if wanted else None
                    yield name, (uri, member.offset_data, member.size), content.read() if content else b""
            file.seek(tar.offset)
            _refuse_damage(uri, file.read(tarfile.BLOCKSIZE))


def read_gzip_members(uri: str, file: BinaryIO) -> Iterator[Member]:
    stream = _Bounded(uri, file)
    with tarfile.open(fileobj=stream, mode="r|") as tar:  # type: ignore[call-overload]  (all it asks of a stream is read)
        for member in tar:
            if name := check_tar_member(uri, member):
                stream.expect(name, member.size)
                content = tar.extractfile(member)
                assert content is not None  # a regular file, as was checked
                yield name, member.size, content
            stream.expect(member.name, 0)
        _refuse_damage(uri, stream.block(tar.offset))


def _refuse_damage(uri: str, block: bytes) -> None:
    """tarfile takes whatever is no header for the end; an archive's own end is a block of zeros. Raises UserError."""
    if block.strip(b"\0") or len(block) < tarfile.BLOCKSIZE:
        raise UserError(f"{uri}: damaged or cut off between its members; download it again")


def read_zip_members(uri: str, file: BinaryIO) -> Iterator[Member]:
    packed = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        total = 0
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
                raise UserError(f"{uri}: member {member.filename!r} is a link or a device; such an archive is not read")
            if member.flag_bits & 1:
                raise UserError(f"{uri}: member {member.filename!r} is encrypted; unpack it and name the folder")
            name = check_name(uri, member.filename)
            if member.is_dir():
                continue
            total += member.file_size
            check_size(uri, name, total, packed, member.file_size)
            with archive.open(member) as content:
                yield name, member.file_size, content


def check_tar_member(uri: str, member: tarfile.TarInfo) -> str:
    """The member's clean name, "" for a folder. Raises UserError for a link, a device, a name that leads outside."""
    if not member.isdir() and (not member.isreg() or member.issparse()):
        raise UserError(f"{uri}: member {member.name!r} is a link or a device; such an archive is not read")
    name = check_name(uri, member.name)
    return "" if member.isdir() else name


def check_name(uri: str, name: str) -> str:
    parts = re.split(r"[/\\]", name)
    if not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", name):
        raise UserError(f"{uri}: member {name!r} leads outside the archive; such an archive is not read")
    return "/".join(part for part in parts if part not in {"", "."})


def check_size(uri: str, name: str, total: int, packed: int, size: int) -> None:
    """Raises UserError where the contents so far are too large for the archive, or the next one for the disk."""
    if total > RATIO * packed + ALLOWANCE_BYTES:
        raise UserError(
            f"{uri}: at member {name!r} it has unpacked to {total >> 20} MB, more than {RATIO} times its size; "
            "unpack it yourself and name the folder if that is right"
        )
    places = {tempfile.gettempdir(), settings().root} - {""}
    for place in (p for p in places if not storage.is_s3(p) and os.path.exists(p)):
        disk = shutil.disk_usage(place)
        if size > disk.free - KEPT_FREE_BYTES:
            raise UserError(f"{uri}: member {name!r} ({size >> 20} MB) does not fit on the disk of {place}; make room")


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a .tar.gz; refuses to go on where headers or contents are longer than announced."""

    def __init__(self, uri: str, file: BinaryIO) -> None:
        super().__init__()
        self.uri, self.packed = uri, file.seek(0, os.SEEK_END)
        file.seek(0)
        self.stream = gzip.GzipFile(fileobj=file)
        self.total, self.limit, self.member = 0, HEADER_BYTES, ""
        self.latest = b"", b""  # what tarfile asked for last: it reads ahead by less

    def expect(self, member: str, size: int) -> None:
        self.member, self.limit = member, self.total + size + HEADER_BYTES
        check_size(self.uri, member, self.total + size, self.packed, size)

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]  (never None: the file blocks)
        if size > HEADER_BYTES or self.total > self.limit:
            raise UserError(f"{self.uri}: after member {self.member!r} stands an oversized header; it is not read")
        data = self.stream.read(size)
        self.total += len(data)
        self.latest = self.latest[1], data
        return data

    def block(self, offset: int) -> bytes:
        """The block at an offset that was read last or shortly before."""
        held = b"".join(self.latest)
        at = offset - (self.total - len(held))
        return held[at : at + tarfile.BLOCKSIZE]


def _index_of(draft: Draft) -> dict[str, tuple[str, int, int]]:
    table = pq.read_table(io.BytesIO(draft.read(INDEX)))
    uris = [storage.join(draft.uri, f"{PIECES}/{n:05d}") for n in range(1 + max(table["piece"].to_pylist(), default=0))]
    columns = (table[name].to_pylist() for name in ("name", "piece", "offset", "size"))
    return {name: (uris[piece], offset, size) for name, piece, offset, size in zip(*columns, strict=True)}


@contextmanager
def _named_errors(uri: str) -> Iterator[None]:
    damaged = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
    try:
        yield
    except damaged as error:
        raise UserError(f"{uri}: not a whole archive ({error}); download it again") from error
    except NotImplementedError as error:  # zipfile's word for a compression it does not know
        raise UserError(f"{uri}: {error}; unpack it and name the folder") from error
