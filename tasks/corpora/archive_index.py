"""Archives from outside: their members as byte ranges that can be read at random, once laid out as pieces."""

import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Draft
from tasks.corpora.archive_members import Member, read_members

PIECES = "pieces"
INDEX = f"{PIECES}/index.parquet"
PIECE_BYTES = 64 << 20

COLUMNS = pa.schema({"name": pa.string(), "piece": pa.int32(), "offset": pa.int64(), "size": pa.int64()})
AGAIN = "//"  # stands in no checked name


def unpack_archive(uri: str, draft: Draft) -> dict[str, tuple[str, int, int]]:
    """The members of a zip or a compressed tar, copied into pieces in the draft: name to (URI, offset, size). Of those
    that have one name the last counts, as when they are unpacked.
    """
    return write_pieces(read_members(uri), draft)


def unpack_shards(folder: str, names: Iterable[str], draft: Draft) -> dict[str, tuple[str, int, int]]:
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


def _index_of(draft: Draft) -> dict[str, tuple[str, int, int]]:
    table = pq.read_table(io.BytesIO(draft.read(INDEX)))
    uris = [storage.join(draft.uri, f"{PIECES}/{n:05d}") for n in range(1 + max(table["piece"].to_pylist(), default=0))]
    columns = (table[name].to_pylist() for name in ("name", "piece", "offset", "size"))
    return {name: (uris[piece], offset, size) for name, piece, offset, size in zip(*columns, strict=True)}
