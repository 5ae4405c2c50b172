"""Where an archive's results lie: whole parts, each committed once by a note that is written last.

    archive.json                    what makes them; another model or config is refused
    lists/00000-<digest>.parquet    a frozen list of work a run that found something new
    transcripts/00007-<digest>.parquet, ...     a table's rows of part 7, named by what is in them
    srt/<name>.srt, ...             files of one item's own
    parts/00007.json                the note: the files of part 7 with sizes and SHA-256; without it they do not count
    manifest.json                   all parts' files and counts, when every part is there

Every file is whole or not there, on a disk and on S3. The same list, files and config make the same bytes, whatever
was killed on the way; what an earlier try of a part has left and no note names is removed at the end, and nothing else:
what others put there stays.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra import storage
from infra.artifacts import manifest
from infra.errors import UserError, explain_bad_file, explain_full_disk
from infra.lock import FOLDER as LOCKS
from infra.lock import hold_lock
from tasks.archives.work_list import WorkItem, from_list, readable, to_list

ARCHIVE, MANIFEST, LISTS, PARTS = "archive.json", "manifest.json", "lists", "parts"
OF_A_RUN = ("report.html", "run.json")  # what a run says of itself: it took its time, and is no result
LIST, NOTE, TABLE = (
    re.compile(name) for name in (r"\d{5,}-[0-9a-f]{16}\.parquet", r"\d{5,}\.json", r"\w+/\d{5,}-.{16}\.parquet")
)
SCHEMA_VERSION = 1
WRITERS = 8  # files of a part that are written at once


class PartResult(NamedTuple):
    """tables: Parquet by the table's name. files: other files by theirs. counts: what is added up over parts."""

    tables: dict[str, bytes]
    files: dict[str, bytes]
    counts: dict[str, float]


@dataclass(frozen=True)
class OutputStore:
    """A folder or s3:// prefix. identity: what decides the results, as JSON has it. provenance: what else is known of
    where they come from, as the first run says it.
    """

    uri: str
    identity: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Inside the block no other run writes here; one that comes waits, with a line that says for whom."""
        with ExitStack() as held:
            with _explain_unwritable(self.uri):
                held.enter_context(hold_lock("archive", self.uri, self.uri))
            yield

    def check(self) -> bool:
        """Whether earlier runs have begun here. Raises UserError where something else is there, or what another model
        or config has made.
        """
        place = storage.join(self.uri, ARCHIVE)
        try:
            there = manifest.parse_json(storage.read(place), place)
        except FileNotFoundError:
            others = [name for name in storage.list_files(self.uri) if not name.startswith(f"{LOCKS}/")]
            if others:
                raise UserError(f"{self.uri}: holds {others[0]} and no {ARCHIVE}; give an empty --output") from None
            return False
        except NotADirectoryError:
            raise UserError(f"{self.uri}: is, or lies in, a file; give a folder or s3:// prefix") from None
        except OSError as error:
            raise UserError(f"{place}: cannot be read ({error.strerror or error})") from error
        if different := _difference(there, self._told()):
            raise UserError(f"{self.uri}: was made with another {different}; give another --output, or remove it")
        return True

    def open(self) -> None:
        """Begin it, or go on. Raises UserError as `check` does."""
        if not self.check():
            self._write(ARCHIVE, _json(self._told() | {"provenance": self.provenance}))

    def _told(self) -> dict[str, Any]:
        return json.loads(_json({"schema_version": SCHEMA_VERSION} | self.identity))

    def lists(self) -> list[tuple[list[WorkItem], str]]:
        """The frozen lists in their order, each with its source."""
        return [self._list(storage.join(self.uri, LISTS, name)) for name in self._named(LISTS, LIST)]

    def _list(self, place: str) -> tuple[list[WorkItem], str]:
        with explain_bad_file(place):
            return from_list(storage.read(place))

    def _named(self, folder: str, pattern: re.Pattern[str]) -> list[str]:
        """Of the files in a folder those that this made: others may have put something there, such as .DS_Store."""
        return [name for name in storage.list_files(storage.join(self.uri, folder)) if pattern.fullmatch(name)]

    def freeze(self, items: list[WorkItem], source: str) -> None:
        """The next list. Whoever is killed before has frozen nothing."""
        content, number = to_list(items, source), len(self._named(LISTS, LIST))
        self._write(f"{LISTS}/{number:05d}-{_digest(content)[:16]}.parquet", content)

    def committed(self) -> set[int]:
        """The numbers of the parts that are done."""
        return {int(name.partition(".")[0]) for name in self._named(PARTS, NOTE)}

    def commit(self, number: int, result: PartResult) -> None:
        """The part's files, then its note, with which all of them count."""
        named = {f"{t}/{number:05d}-{_digest(data)[:16]}.parquet": data for t, data in result.tables.items()}
        files = dict(sorted((named | result.files).items()))
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(self._write, files, files.values()))
        entries = {name: {"size": len(data), "sha256": _digest(data)} for name, data in files.items()}
        self._write(_note(number), _json({"part": number, "files": entries, "counts": result.counts}))

    def notes(self) -> Iterator[dict[str, Any]]:
        """Of each committed part what its note says, in their order."""
        places = [storage.join(self.uri, _note(number)) for number in sorted(self.committed())]
        with ThreadPoolExecutor(WRITERS) as pool:
            for place, data in zip(places, pool.map(storage.read, places), strict=True):
                yield _parse_note(data, place)

    def finish(self, joined: Collection[str] = ()) -> dict[str, Any]:
        """The manifest, when all parts are there: how many files each table and format has, and the counts; and what
        tries of parts have left is gone. joined: files that were made of several parts. Raises UserError where a table
        is no longer what was committed.
        """
        counts, digest, named = Counter[str](), hashlib.sha256(), dict[str, dict[str, Any]]()
        kinds, parts = Counter[str](), 0
        for note in self.notes():
            counts.update(note["counts"])
            kinds.update(name.partition("/")[0] for name in note["files"])
            named |= {name: entry | {"note": _note(note["part"])} for name, entry in note["files"].items()}
            digest.update(_json(note["files"]))
            parts += 1
        kinds.update(name.partition("/")[0] for name in joined)
        there = storage.list_files(self.uri)
        for name, entry in named.items():
            if TABLE.fullmatch(name) and (name not in there or there[name].size != entry["size"]):
                remedy = f"remove {entry['note']} there and run the same command again"
                raise UserError(f"{storage.join(self.uri, name)}: is gone or damaged; {remedy}")
        for name in self._left(
            there.keys() - named.keys() - set(joined), kinds.keys() | set(self.identity.get("formats", ()))
        ):
            storage.remove(storage.join(self.uri, name))
        storage.remove_stale(self.uri)
        told = {"parts": parts, "files": dict(sorted(kinds.items())), "counts": _rounded(counts)}
        told |= {"sha256": digest.hexdigest(), "archive": json.loads(storage.read(storage.join(self.uri, ARCHIVE)))}
        self._write(MANIFEST, _json(told))
        return told

    def _left(self, unnamed: Iterable[str], kinds: Collection[str]) -> list[str]:
        """Of files that no note names those that a try of a part has written."""
        names = {item.name for items, _ in self.lists() for item in items}

        def of_item(kind: str, name: str) -> bool:
            return kind in kinds and (
                name in names or (name[: -len(kind) - 1] in names and name.lower().endswith(kind))
            )

        tables = (name for name in unnamed if not name.startswith(f"{LISTS}/"))
        return [name for name in tables if TABLE.fullmatch(name) or of_item(*name.partition("/")[::2])]

    def table_files(self, table: str) -> Iterator[tuple[int, str]]:
        """Where the Parquet files of a table lie, part by part, with the parts' numbers."""
        for note in self.notes():
            for name in note["files"]:
                if name.startswith(f"{table}/"):
                    yield note["part"], storage.join(self.uri, name)

    def numbered_tables(self, table: str) -> Iterator[tuple[int, bytes]]:
        """The same with what is in them."""
        return ((part, storage.read(place)) for part, place in self.table_files(table))

    def tables(self, table: str) -> Iterator[bytes]:
        return (data for _, data in self.numbered_tables(table))

    def write_report(self, name: str, content: bytes) -> None:
        """One of OF_A_RUN."""
        self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        place = storage.join(self.uri, name)
        with _explain_unwritable(place):
            storage.write(place, content)


@contextmanager
def _explain_unwritable(place: str) -> Iterator[None]:
    try:
        with explain_full_disk(place):
            yield
    except (OSError, ValueError) as error:  # ValueError: a path that none can be
        raise UserError(f"{place}: cannot be written ({getattr(error, 'strerror', None) or error})") from error


def _parse_note(data: bytes, place: str) -> dict[str, Any]:
    told = manifest.parse_json(data, place)
    kinds = {"part": int, "files": dict, "counts": dict}
    if not isinstance(told, dict) or not all(isinstance(told.get(name), kind) for name, kind in kinds.items()):
        raise UserError(f"{place}: not the note of a part; remove it and run the same command again")
    return told


def read_manifest(uri: str) -> dict[str, Any]:
    """Raises UserError where no finished output is."""
    place = storage.join(uri, MANIFEST)
    try:
        told = manifest.parse_json(storage.read(place), place)
        if not isinstance(told, dict) or not isinstance(told.get("archive"), dict):
            raise UserError(f"{place}: not the manifest of an output; run the command that made it again")
        return told
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{readable(uri)}: no finished output is there; give the --output of a run that ended"
        ) from None


def _difference(there: Any, wanted: dict[str, Any]) -> str:
    """The first of the fields that differ, in words."""
    if not isinstance(there, dict):
        return "program"
    every = dict.fromkeys([*wanted, *there])
    fields = (name for name in every if name != "provenance" and there.get(name) != wanted.get(name))
    return next((f"{n.replace('_', ' ')} ({_short(there.get(n))}, not {_short(wanted.get(n))})" for n in fields), "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:60]


def _note(number: int) -> str:
    return f"{PARTS}/{number:05d}.json"


def _rounded(counts: Iterable[Any] | Counter[str]) -> dict[str, Any]:
    return {name: round(value, 6) for name, value in sorted(dict(counts).items())}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
