"""What a run is to do, frozen before it begins: every file with its size and version, in an order that never changes.

The list is divided into parts, by bytes and by count, so that ten thousand files of a second and one of three hours
both come to parts of some minutes' work. A part is what is committed; its number says its place for good. A file that
is cut is in the list as often as it has pieces, each a part of its own.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pyarrow as pa

from infra.errors import UserError
from tasks.steps.parquet_io import from_parquet, to_parquet

SCHEMA = pa.schema(
    {
        "file": pa.string(),  # what tables call it
        "name": pa.string(),  # of what is written of it, without a suffix
        "place": pa.binary(),  # path or URI of what it lies in, in the bytes that the file system has
        "offset": pa.int64(),  # in there, -1 for all of it
        "size": pa.int64(),
        "version": pa.string(),  # mtime and size, or the ETag, when it was listed
        "problem": pa.string(),  # why it cannot be read, known from listing
        "part": pa.int32(),
    }
)
PIECES = pa.schema(  # only in a list in which some file is cut
    {
        "begin": pa.int64(),  # of the piece, in the unit of its format
        "end": pa.int64(),  # -1 for all to the end
        "line": pa.int64(),  # the number of its first line, from 1 on
        "pieces": pa.int32(),  # that its file has
    }
)
LONGEST_NAME = 200  # bytes of one part of a path that is written: file systems take 255, with a suffix
LONGEST_PATH = 700  # bytes of the whole: S3 takes 1,024, with the output's own prefix


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A file, or a range of one that is an archive, or a piece of either. Fields: see SCHEMA and PIECES; size: of all
    pieces.
    """

    file: str
    place: str
    size: int = 0
    version: str = ""
    offset: int = -1
    problem: str = ""
    name: str = ""
    part: int = -1
    begin: int = 0
    end: int = -1
    line: int = 1
    pieces: int = 1

    @property
    def known_as(self) -> tuple[str, int, str]:
        """The same for what need not be done again."""
        return self.file, self.size, self.version

    @property
    def weight(self) -> float:
        """Bytes, of a piece its share."""
        return self.size / self.pieces


@dataclass(frozen=True, slots=True)
class Part:
    """Files whose results are committed together. killers: those that have killed their workers, by number in the part,
    with what was seen; they are not read again. apart: no batch holds windows of two files.
    """

    number: int
    items: tuple[WorkItem, ...]
    killers: tuple[tuple[int, str], ...] = ()
    apart: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; half a surrogate pair, an undecodable byte of a path, is an escape there."""
        items = [[getattr(item, name) for name in WorkItem.__slots__] for item in self.items]
        return {"number": self.number, "items": items, "killers": self.killers, "apart": self.apart}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "Part":
        items = tuple(WorkItem(*fields) for fields in told["items"])
        killers = tuple((number, reason) for number, reason in told["killers"])
        return cls(told["number"], items, killers, told["apart"])


@dataclass(frozen=True, kw_only=True)
class PartConfig:
    """A part ends at so many megabytes or files, whichever comes first; a larger file is one alone."""

    max_mb: int = 64
    max_files: int = 200

    def __post_init__(self) -> None:
        if min(self.max_mb, self.max_files) < 1:
            raise ValueError("parts.max_mb and parts.max_files are at least 1")

    @property
    def max_bytes(self) -> int:
        return self.max_mb << 20


class PartLimits(Protocol):
    """How much a part is at most."""

    @property
    def max_bytes(self) -> int: ...

    @property
    def max_files(self) -> int: ...


def readable(path: str) -> str:
    """A path as tables may have it: bytes that are no UTF-8 as backslash escapes."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def number_parts(items: Iterable[WorkItem], first: int, config: PartLimits, taken: Iterable[str]) -> list[WorkItem]:
    """The files in their order with the numbers of their parts, from `first` on, and names that no two have.

    taken: names that earlier lists have used.
    """
    used, numbered = _Names(taken), list[WorkItem]()
    part, size, count, before = first, 0, 0, WorkItem("", "")
    for item in sorted(items, key=lambda item: (item.file, item.offset, item.begin)):
        alone = max(item.pieces, before.pieces) > 1
        if count and (alone or size + item.size > config.max_bytes or count >= config.max_files):
            part, size, count = part + 1, 0, 0
        size, count = size + item.size, count + 1
        again = item.pieces > 1 and (item.place, item.offset) == (before.place, before.offset)
        name = before.name if again else used.unused(safe_name(item.name or item.file))
        before = replace(item, part=part, name=name)
        numbered.append(before)
    return numbered


class _Names:
    """Relative paths that are used, of which none is a folder of another."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.files, self.folders = set[str](), set[str]()
        for name in taken:
            self._use(_folded(name))

    def unused(self, name: str) -> str:
        """The name, or one like it with a number where it is used, or where it would need a file to be a folder."""
        path = ""
        for part in name.split("/")[:-1]:
            path = _numbered(f"{path}{part}", self.files) + "/"
        path = _numbered(path + name.rpartition("/")[2], self.files, self.folders)
        self._use(_folded(path))
        return path

    def _use(self, path: str) -> None:
        self.files.add(path)
        while path := path.rpartition("/")[0]:
            self.folders.add(path)


def _numbered(path: str, *used: set[str]) -> str:
    """The path, or with the first number that none of these has used."""
    found, count = path, 1
    while any(_folded(found) in names for names in used):
        count += 1
        found = f"{path}~{count}"
    return found


def _folded(name: str) -> str:
    """The same for names that some file system takes for one: in upper and lower case, composed and decomposed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def safe_name(path: str) -> str:
    """A relative path that any file system takes with a suffix: no control characters, no '..', no part too long, nor
    the whole, which then is its last part below a digest.
    """
    parts = [_safe_part(part) for part in readable(path).split("/") if part not in {"", "."}]
    whole = "/".join(parts) or "_"
    return whole if len(whole.encode()) <= LONGEST_PATH else f"{_digest(path)}/{parts[-1]}"


def _safe_part(part: str) -> str:
    plain = re.sub(r"[\x00-\x1f\x7f\\]", "_", part)
    plain = "_" * len(plain) if set(plain) == {"."} else plain
    if len(plain.encode()) <= LONGEST_NAME:
        return plain
    return f"{plain.encode()[: LONGEST_NAME - 9].decode(errors='ignore')}~{_digest(part)}"


def sidecar_name(folder: str, name: str, suffix: str) -> str:
    """Of a file that is written of an item. No folder there is called as a file may be: of recordings `a.wav` and
    `a.wav.srt/b.wav`, one would be in the way of the other.
    """
    return f"{folder}/" + re.sub(rf"({re.escape(suffix)}_*)(?=/)", r"\1_", name, flags=re.IGNORECASE) + suffix


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]


def to_list(items: Sequence[WorkItem], source: str) -> bytes:
    """The frozen list as a file. source: what was listed."""
    schema = pa.unify_schemas([SCHEMA, PIECES]) if any(item.pieces > 1 for item in items) else SCHEMA
    columns = {name: [getattr(item, name) for item in items] for name in schema.names}
    columns["place"] = [os.fsencode(item.place) for item in items]
    return to_parquet(pa.table(columns, schema.with_metadata({"source": os.fsencode(source)})))


def from_list(data: bytes) -> tuple[list[WorkItem], str]:
    """What `to_list` was given. Raises UserError for another table."""
    table = from_parquet(data)
    if table.schema.names not in (SCHEMA.names, [*SCHEMA.names, *PIECES.names]):
        raise UserError(f"a list of work has the columns {', '.join(SCHEMA.names)}; use the version that made it")
    rows = table.to_pylist()
    source = os.fsdecode((table.schema.metadata or {}).get(b"source", b""))
    return [WorkItem(**(row | {"place": os.fsdecode(row["place"])})) for row in rows], source


def group_parts(items: Sequence[WorkItem]) -> dict[int, Part]:
    """By number."""
    grouped = dict[int, list[WorkItem]]()
    for item in items:
        grouped.setdefault(item.part, []).append(item)
    return {number: Part(number, tuple(found)) for number, found in grouped.items()}
