"""Where an archive's results lie: whole parts, each committed once by a note that is written last.

    archive.json                    what makes them; another model or config is refused
    lists/00000-<digest>.parquet    a frozen list of work a run that found something new
    transcripts/00007-<digest>.parquet, ...     a table's rows of part 7, named by what is in them
    srt/<name>.srt, ...             files of one item's own
    parts/00007.json                the note: the files of part 7 with sizes and SHA-256; without it they do not count
    manifest.json                   all parts' files and counts, when every part is there

Every file is whole or not there, on a disk and on S3. The same list, files and config make the same bytes, whatever
was killed on the way; what an earlier try of a part has left and no note names is removed at the end.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra import storage
from infra.artifacts import manifest
from infra.errors import UserError, explain_full_disk
from infra.lock import FOLDER as LOCKS
from infra.lock import hold_lock
from tasks.archives.work_list import WorkItem, from_list, readable, to_list

ARCHIVE, MANIFEST, LISTS, PARTS = "archive.json", "manifest.json", "lists", "parts"
OF_A_RUN = ("report.html", "run.json")  # what a run says of itself: it took its time, and is no result
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
        with hold_lock("archive", self.uri, self.uri):
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
        names = storage.list_files(storage.join(self.uri, LISTS))
        return [from_list(storage.read(storage.join(self.uri, LISTS, name))) for name in names]

    def freeze(self, items: list[WorkItem], source: str) -> None:
        """The next list. Whoever is killed before has frozen nothing."""
        content, number = to_list(items, source), len(storage.list_files(storage.join(self.uri, LISTS)))
        self._write(f"{LISTS}/{number:05d}-{_digest(content)[:16]}.parquet", content)

    def committed(self) -> set[int]:
        """The numbers of the parts that are done."""
        return {int(name.partition(".")[0]) for name in storage.list_files(storage.join(self.uri, PARTS))}

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
                yield manifest.parse_json(data, place)

    def finish(self) -> dict[str, Any]:
        """The manifest, when all parts are there: how many files each table and format has, and the counts; and what no
        note names is gone.
        """
        counts, digest, named = Counter[str](), hashlib.sha256(), {ARCHIVE, MANIFEST, *OF_A_RUN}
        kinds, parts = Counter[str](), 0
        for note in self.notes():
            counts.update(note["counts"])
            kinds.update(name.partition("/")[0] for name in note["files"])
            named |= {_note(note["part"]), *note["files"]}
            digest.update(_json(note["files"]))
            parts += 1
        for name in storage.list_files(self.uri):
            if name not in named and not name.startswith((f"{LISTS}/", f"{LOCKS}/")):
                storage.remove(storage.join(self.uri, name))
        storage.remove_stale(self.uri)
        told = {"parts": parts, "files": dict(sorted(kinds.items())), "counts": _rounded(counts)}
        told |= {"sha256": digest.hexdigest(), "archive": json.loads(storage.read(storage.join(self.uri, ARCHIVE)))}
        self._write(MANIFEST, _json(told))
        return told

    def tables(self, table: str) -> Iterator[bytes]:
        """The Parquet files of a table, part by part."""
        for note in self.notes():
            for name in note["files"]:
                if name.startswith(f"{table}/"):
                    yield storage.read(storage.join(self.uri, name))

    def write_report(self, name: str, content: bytes) -> None:
        """One of OF_A_RUN."""
        self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        place = storage.join(self.uri, name)
        try:
            with explain_full_disk(place):
                storage.write(place, content)
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({error.strerror or error})") from error


def read_manifest(uri: str) -> dict[str, Any]:
    """Raises UserError where no finished output is."""
    place = storage.join(uri, MANIFEST)
    try:
        return manifest.parse_json(storage.read(place), place)
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
