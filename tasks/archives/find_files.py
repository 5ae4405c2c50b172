"""The files that a source names: a folder, pattern, s3:// prefix, list, manifest or archive; and what is wrong there.

Nothing is passed over silently: what cannot be looked at is an item with a problem, and what is no recording by its
name is counted by its suffix.
"""

import codecs
import errno
import glob
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError, explain_bad_file
from tasks.archives.work_list import WorkItem, readable
from tasks.corpora.archive_format import NAMED_SO, archive_format
from tasks.corpora.archive_index import unpack_archive
from tasks.corpora.archive_members import index_plain_tar
from tasks.corpora.column_names import find_column, find_columns
from tasks.corpora.corpus_files import LEFTOVERS, CorpusFiles
from tasks.corpora.readers.captions import IMAGE
from tasks.corpora.table_rows import read_rows

LISTS, TABLES = (".txt", ".list", ".lst"), (".csv", ".tsv", ".jsonl", ".json")
ABSENT = "not there"
REASONS = {
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ELOOP: "link loop",
    errno.ENOENT: ABSENT,
}


@dataclass
class Found:
    """ignored: files that no suffix says to be wanted, by their own suffix."""

    items: list[WorkItem] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def find_files(source: str, suffixes: Collection[str]) -> Found:
    """suffixes: of the files in folders and archives that are wanted, in lower case without a dot; a file that is named
    itself may be called anything, but then one that could be a list is one. Each file comes once.

    Raises UserError for a source that is not there, and where nothing is wanted in it.
    """
    if not source:
        raise UserError("the source is empty; give a folder, pattern, s3:// prefix, list, manifest or archive")
    found = Found()
    unique = dict[tuple[str, int], WorkItem]()  # a list may name a file in several ways
    for item in _listed(source, suffixes, found.ignored):
        unique.setdefault((item.place, item.offset), item)
    found.items += unique.values()
    if not found.items:
        seen = f" beside {sum(found.ignored.values())} other files" if found.ignored else ""
        raise UserError(
            f"{readable(source)}: no file to work on is there{seen}; they end in {_examples(suffixes)}, ..."
        )
    return found


def _examples(suffixes: Collection[str]) -> str:
    known = [
        name
        for name in ("wav", "flac", "mp3", "jpg", "png", "txt", "jsonl", "parquet", "tmx", "md")
        if name in suffixes
    ]
    return ", ".join(f".{name}" for name in (known or sorted(suffixes))[:5])


def _listed(source: str, suffixes: Collection[str], ignored: Counter[str]) -> Iterator[WorkItem]:
    prefix = storage.is_s3(source) and source.endswith("/")  # S3's consoles make an object of that name for a folder
    if not storage.is_s3(source) and os.path.isdir(source):
        yield from _wanted(_walk(os.path.abspath(source)), suffixes, ignored)
    elif not storage.is_s3(source) and glob.has_magic(source) and not os.path.lexists(source):
        yield from _wanted(_matching(source), suffixes, ignored)
    elif not prefix and (entry := storage.stat(source)):
        yield from _in_file(source, entry, suffixes, ignored)
    elif storage.is_s3(source):
        there = storage.list_files(source).items()
        named = (
            WorkItem(storage.join(source, n), storage.join(source, n), e.size, e.version, name=n) for n, e in there
        )
        yield from _wanted(named, suffixes, ignored)
    else:
        there = "neither a file nor a folder" if os.path.exists(source) else "no such file, folder or pattern"
        raise UserError(f"{readable(source)}: {there}")


def _in_file(
    source: str, entry: storage.FileStat, suffixes: Collection[str], ignored: Counter[str]
) -> Iterator[WorkItem]:
    """What one file names: itself, the lines of a list, the rows of a manifest, the members of an archive."""
    lower, name = source.lower(), source.rpartition("/")[2]
    if _is_wanted(name, suffixes):
        yield _whole(source, entry, name)
    elif lower.endswith((*LISTS, *TABLES, ".parquet")):
        folder = source.rpartition("/")[0] or ("" if storage.is_s3(source) else ".")
        for line in dict.fromkeys(_named_in(source, suffixes)):
            item = _one(line if line.startswith(("/", "s3://")) else storage.join(folder, line), line)
            if item.problem == ABSENT and line.startswith("#") and lower.endswith(LISTS):
                ignored["(comment)"] += 1
            else:
                yield item
    elif archive_format(source):
        yield from _wanted(_members(source, entry, name), suffixes, ignored)
    else:
        yield _whole(source, entry, name)


def _wanted(items: Iterable[WorkItem], suffixes: Collection[str], ignored: Counter[str]) -> Iterator[WorkItem]:
    """Those with such a suffix or a problem, and the members of archives among them."""
    for item in items:
        base = item.name.rpartition("/")[2]
        suffix = base.rpartition(".")[2].lower() if "." in base.lstrip(".") else ""
        if item.problem:
            yield item
        elif base.startswith(".") or LEFTOVERS.search(item.name):
            ignored[base if base.startswith(".") and not base.startswith("._") else "(left by macOS)"] += 1
        elif _is_wanted(base, suffixes):
            yield item
        elif item.offset < 0 and NAMED_SO.search(base):
            yield from _opened(item, suffixes, ignored)
        else:
            ignored[f".{readable(suffix)}" if suffix else "(no suffix)"] += 1


def _is_wanted(base: str, suffixes: Collection[str]) -> bool:
    """By the end of a name: .gz, or .txt.gz."""
    lower = base.lstrip(".").lower()
    return any(lower[at + 1 :] in suffixes for at, c in enumerate(lower) if c == ".")


def _opened(item: WorkItem, suffixes: Collection[str], ignored: Counter[str]) -> Iterator[WorkItem]:
    """The members of an archive that lies beside other files; one that cannot be read is a problem, not the end."""
    try:
        members = list(_members(item.place, storage.FileStat(item.size, item.version), item.name))
    except (UserError, OSError) as error:
        line = _reason(error).removeprefix(f"{item.place}: ")
        yield _problem(item.place, item.name, f"archive cannot be read ({line})")
        return
    yield from _wanted(members, suffixes, ignored)


def _members(place: str, entry: storage.FileStat, name: str) -> Iterator[WorkItem]:
    """Of a plain tar where they lie; of a packed archive as pieces in a draft, which is the same for the same file."""
    plain = archive_format(place) == "tar"
    if plain:
        located: dict[str, tuple[str, int, int]] = {n: found for n, found, _ in index_plain_tar(place)}
    else:
        located = unpack_archive(place, open_draft("pieces", _key(place, entry))).files
    for member, (uri, offset, size) in located.items():
        whole, told = f"{name}/{member}", f"{readable(place)}/{readable(member)}"
        yield WorkItem(told, uri, size, entry.version, offset, name=whole)


def _key(place: str, entry: storage.FileStat) -> str:
    return hashlib.sha256(f"{readable(place)} {entry.version}".encode()).hexdigest()[:32]


def _named_in(source: str, suffixes: Collection[str]) -> Iterator[str]:
    """The paths in a list, one a line, or in the column of a table that names files; of a recording and a photo that
    one row names, the one that is wanted.
    """
    lower = source.lower()
    if lower.endswith(LISTS):
        data = storage.read(source).removeprefix(codecs.BOM_UTF8)
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as Windows' shell writes them
            with explain_bad_file(readable(source)):
                data = data.decode("utf-16").encode()
        for line in data.split(b"\n"):
            if line.strip():
                yield os.fsdecode(line.removesuffix(b"\r"))
        return
    folder, _, name = source.rpartition("/")
    rows: Iterable[Any] = (
        _parquet_rows(source)
        if lower.endswith(".parquet")
        else read_rows(CorpusFiles(folder or ".", {name: (source, 0, len(storage.read(source)))}), name)
    )
    for number, row in rows:
        values = [] if isinstance(row, str) else [row[name] for name in _file_columns(tuple(row))]
        wanted = (value for value in values if isinstance(value, str) and _is_wanted(value, suffixes))
        value = next(wanted, values[0] if values else None)
        if not isinstance(value, str) or not value:
            names = "audio_filepath, audio, image, path or file"
            what = row if isinstance(row, str) else f"no file in it; a column {names} has it"
            raise UserError(f"{readable(source)}, row {number}: {what}")
        yield value


def _file_columns(names: tuple[str, ...]) -> list[str]:
    """The one that names a recording, and the one that names a photo."""
    photos = filter(None, (find_column(names, wanted) for wanted in IMAGE))
    return list(dict.fromkeys([*find_columns(names).audio[:1], *list(photos)[:1]]))


def _parquet_rows(source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    with explain_bad_file(readable(source)), storage.open_binary(source) as file:
        names = pq.ParquetFile(file).schema_arrow.names
        table = pq.ParquetFile(file).read(_file_columns(tuple(names)))
    yield from enumerate(table.to_pylist(), 1)


def _walk(top: str, below: str = "") -> Iterator[WorkItem]:
    """Every file under a folder, those behind links too, but no folder inside itself. Folders may lie as deep as paths
    are long.
    """
    waiting: list[tuple[str, str, tuple[Any, ...] | None]] = [(top, below, None)]
    while waiting:
        folder, below, above = waiting.pop()
        try:
            here = os.stat(folder)
            if _is_inside((here.st_dev, here.st_ino), above):
                yield _problem(folder, below.rstrip("/"), "link loop")
                continue
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield _problem(folder, below.rstrip("/"), _reason(error))
            continue
        inner = ((here.st_dev, here.st_ino), above)
        for entry in entries:
            name = below + entry.name
            try:
                if entry.is_dir():
                    waiting.append((entry.path, f"{name}/", inner))
                elif not entry.name.startswith(storage.PARTIAL):
                    yield _one(entry.path, name)
            except OSError as error:
                yield _problem(entry.path, name, _reason(error))


def _is_inside(folder: tuple[int, int], above: tuple[Any, ...] | None) -> bool:
    """above: a folder's device and inode, and the same of what it lies in."""
    while above:
        known, above = above
        if known == folder:
            return True
    return False


def _matching(pattern: str) -> Iterator[WorkItem]:
    """What a pattern matches; of a folder all that is in it, as where a shell expands the pattern."""
    paths = sorted(os.path.abspath(path) for path in glob.glob(pattern, recursive=True))
    top = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    for path in paths:
        name = os.path.relpath(path, top)
        if os.path.isdir(path):
            yield from _walk(path, f"{name}/")
        else:
            yield _one(path, name)


def _one(place: str, name: str) -> WorkItem:
    """A file that is named, with a problem where it is not there or is something else."""
    try:
        entry = None if "\0" in place else storage.stat(place)
        if entry is None and not storage.is_s3(place) and "\0" not in place:
            os.stat(place)
            return _problem(place, name, "no file")
    except OSError as error:
        return _problem(place, name, _reason(error))
    return _whole(place, entry, name) if entry else _problem(place, name, ABSENT)


def _whole(place: str, entry: storage.FileStat, name: str) -> WorkItem:
    return WorkItem(readable(_absolute(place)), _absolute(place), entry.size, entry.version, name=name)


def _absolute(place: str) -> str:
    return place if storage.is_s3(place) else os.path.abspath(place)


def _problem(place: str, name: str, reason: str) -> WorkItem:
    return WorkItem(readable(_absolute(place)), _absolute(place).replace("\0", ""), problem=reason, name=name)


def _reason(error: Exception) -> str:
    known = REASONS.get(error.errno or 0) if isinstance(error, OSError) else None
    return known or (error.strerror if isinstance(error, OSError) else None) or str(error)
