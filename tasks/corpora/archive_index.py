"""Archives from outside: their members as byte ranges that can be read at random, once laid out as pieces."""

import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Draft
from tasks.corpora.archive_members import Member, SupportsRead, read_members

PIECES = "pieces"
INDEX = f"{PIECES}/members.parquet"
PIECE_BYTES = 64 << 20

BLOCK_BYTES = 1 << 20
COLUMNS = pa.schema(
    [("name", pa.string()), *((n, pa.int64()) for n in ("piece", "offset", "size")), ("sha256", pa.string())]
)
AGAIN = "//"  # stands in no checked name
LEFT_OUT = -1  # the piece of what is not copied


class Members(NamedTuple):
    """files: name to (URI, offset, size). digests: the SHA-256 of each, by its place. left_out: the places of those
    that were not copied, for they are known; nothing is there.
    """

    files: dict[str, tuple[str, int, int]]
    digests: dict[tuple[str, int, int], str]
    left_out: frozenset[tuple[str, int, int]]


def unpack_archive(uri: str, draft: Draft, known: Container[str] = ()) -> Members:
    """The members of a zip or a compressed tar, copied into pieces in the draft, but for those whose SHA-256 is known.
    Of those that have one name the last counts, as when they are unpacked.
    """
    return write_pieces(read_members(uri), draft, known)


def unpack_shards(folder: str, names: Iterable[str], draft: Draft) -> Members:
    """The members of several such archives in one index, as `<archive>/<member>`."""

    def members() -> Iterator[Member]:
        for archive in names:
            seen = Counter[str]()
            for name, size, content in read_members(storage.join(folder, archive)):
                yield shard_member(archive, name, seen), size, content

    return write_pieces(members(), draft)


def shard_member(archive: str, name: str, seen: Counter[str]) -> str:
    """What a member of one of several archives is called; one whose name comes again as no other can be called."""
    seen[name] += 1
    return f"{archive}/{name}" + (f"{AGAIN}{seen[name]}" if seen[name] > 1 else "")


def write_pieces(members: Iterable[Member], draft: Draft, known: Container[str] = ()) -> Members:
    """Copy contents into files of about 64 MB in the draft, then their index."""
    if INDEX in draft.finished():
        return _index_of(draft)
    rows: list[tuple[str, int, int, int, str]] = []
    left, number = iter(members), 0
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "piece")
        while more := _fill(local, left, number, known):
            rows += more
            draft.put(f"{PIECES}/{number:05d}", local)
            number += 1
        pq.write_table(pa.Table.from_pylist([dict(zip(COLUMNS.names, r, strict=True)) for r in rows], COLUMNS), local)
        draft.put(INDEX, local)
    return _index_of(draft)


def _fill(
    local: Path, members: Iterator[Member], number: int, known: Container[str]
) -> list[tuple[str, int, int, int, str]]:
    """Write contents to a file until it is large enough; their rows in the index."""
    rows = []
    with local.open("wb") as piece:
        for name, size, content in members:
            start = piece.tell()
            digest = _copy(content, piece)
            left_out = digest in known
            if left_out:
                piece.seek(start)
                piece.truncate()
            rows.append((name, LEFT_OUT if left_out else number, start, size, digest))
            if piece.tell() >= PIECE_BYTES:
                break
    return rows


def _copy(content: SupportsRead, to: BinaryIO) -> str:
    """The SHA-256 of what was copied."""
    digest = hashlib.sha256()
    while block := content.read(BLOCK_BYTES):
        digest.update(block)
        to.write(block)
    return digest.hexdigest()


def _index_of(draft: Draft) -> Members:
    table = pq.read_table(io.BytesIO(draft.read(INDEX)))
    last = max([0, *table["piece"].to_pylist()])
    uris = [storage.join(draft.uri, f"{PIECES}/{number:05d}") for number in range(last + 1)]
    found, left_out = Members({}, {}, frozenset()), set[tuple[str, int, int]]()
    for name, piece, offset, size, digest in zip(*(table[name].to_pylist() for name in COLUMNS.names), strict=True):
        place = (uris[piece], offset, size)
        if piece == LEFT_OUT:
            place = (storage.join(draft.uri, PIECES, "left-out", digest), 0, size)
            left_out.add(place)
        found.files[name] = place
        found.digests[place] = digest
    return found._replace(left_out=frozenset(left_out))
