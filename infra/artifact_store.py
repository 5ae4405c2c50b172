"""The artifact store: finished folders or prefixes, named by the hash of what is in them, never rewritten.

    <root>/<kind>/<digest>/manifest.json and the files it names         finished, readable
    <root>/.drafts/<kind>-<key>/                                         being filled; no reader looks here
    <root>/.memory/<key>.json                                            which artifact a task with this key made
    <root>/.locks/<key>                                                  whose step fills that key's draft

A draft has one owner, whose processes fill it, any number of them on any machine. A file in it counts once its mark is
written, so a job that was killed finds what it had finished; `commit` makes the artifact from the marked files, its
manifest last.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from infra import storage
from infra.artifacts import manifest
from infra.artifacts.manifest import MANIFEST, MARKS, Files, check_name, check_reference, file_sha256, hash_files
from infra.artifacts.s3_cache import local_copy
from infra.errors import UserError
from infra.lock import hold_lock
from infra.settings import settings

DRAFTS, NOTES = ".drafts", ".memory"
NOTED_SECONDS = 86400.0  # a result that is used is noted as used so often at most

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A reference small enough to pass between tasks, log and print; the bytes stay in the store."""

    kind: str  # "shards", "tokenizer", "features", "bundle", "transcripts", "report", ...
    digest: str  # SHA-256 of the sorted (file name, size, file hash) triples

    def __post_init__(self) -> None:
        check_reference(self.kind, self.digest)

    @property
    def uri(self) -> str:
        return storage.join(settings().root, self.kind, self.digest[:16])

    def manifest(self) -> dict[str, Any]:
        """`{"kind", "digest", "files": {name: {"size", "sha256"}}}`. Raises UserError where there is none."""
        place = storage.join(self.uri, MANIFEST)
        try:
            told = manifest.parse_manifest(storage.read(place), place)
        except FileNotFoundError as error:
            raise UserError(
                f"{self.uri} has no {MANIFEST}: it was deleted or never finished; run the flow again"
            ) from error
        if (told["kind"], told["digest"]) != (self.kind, self.digest):
            raise UserError(f"{place} is of {told['kind']}/{told['digest']}, not of {self}; run the flow again")
        return told

    def exists(self) -> bool:
        """Whether it is finished and still there."""
        return storage.stat(storage.join(self.uri, MANIFEST)) is not None

    def find_damage(self) -> str:
        """What is wrong with it in a line, "" where every file is there at its size. Reads no file but the manifest."""
        try:
            files = self.manifest()["files"]
        except UserError as error:
            return str(error)
        there = storage.list_files(self.uri)
        for name, entry in files.items():
            if name not in there:
                return f"{storage.join(self.uri, name)} is missing"
            if there[name].size != entry["size"]:
                return f"{storage.join(self.uri, name)} has {there[name].size:,} bytes, not {entry['size']:,}"
        return ""

    def verify(self) -> None:
        """Reads all of it. Raises UserError naming the first file that is not what was stored."""
        manifest.verify_files(self.uri, self.manifest()["files"])

    def names(self, suffix: str = "") -> list[str]:
        return sorted(name for name in self.manifest()["files"] if name.endswith(suffix))

    def file(self, name: str) -> Path:
        """A local path to read the file at: itself, or a copy in the bounded cache."""
        uri = storage.join(self.uri, check_name(name, str(self)))
        with self._missing(uri):
            if storage.is_s3(uri):
                return local_copy(uri)
            Path(uri).stat()
            return Path(uri)

    def read(self, name: str) -> bytes:
        uri = storage.join(self.uri, check_name(name, str(self)))
        with self._missing(uri):
            return storage.read(uri)

    def read_json(self, name: str) -> Any:
        return manifest.parse_json(self.read(name), storage.join(self.uri, name))

    @contextmanager
    def _missing(self, uri: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(f"{uri} is missing; run the command that made {self} again") from error

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A place to fill with files; only a reference, so it may travel to other processes."""

    kind: str
    uri: str

    def put(self, name: str, content: bytes | Path) -> None:
        """Store bytes or a local file under `name`, then its mark (size, SHA-256)."""
        target = storage.join(self.uri, check_name(name, self.kind))
        if isinstance(content, bytes):
            size, sha256 = len(content), hashlib.sha256(content).hexdigest()
            storage.write(target, content)
        else:
            size, sha256 = content.stat().st_size, file_sha256(content)
            storage.upload(content, target)
        self._mark(name, size, sha256)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write what will be stored under `name` when the block ends; nothing is where the block fails."""
        with storage.stage_file(storage.join(self.uri, check_name(name, self.kind))) as local:
            with local.open("wb") as file:
                yield file
            size, sha256 = local.stat().st_size, file_sha256(local)
        self._mark(name, size, sha256)

    def _mark(self, name: str, size: int, sha256: str) -> None:
        mark = json.dumps({"size": size, "sha256": sha256}).encode()
        storage.write(storage.join(self.uri, MARKS, name), mark)

    def put_json(self, name: str, value: Any) -> None:
        self.put(name, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        return storage.read(storage.join(self.uri, name), offset, size)

    def finished(self) -> set[str]:
        """The names of the files that were stored whole."""
        marks = storage.list_files(storage.join(self.uri, MARKS))
        return {name for name, mark in marks.items() if mark.size}  # a power cut leaves files without content

    def remove(self, name: str) -> None:
        storage.remove(storage.join(self.uri, MARKS, name))
        storage.remove(storage.join(self.uri, name))

    def discard(self) -> None:
        storage.remove(self.uri)

    def lock(self) -> AbstractContextManager[None]:
        """Nobody else has it inside the block: for a draft that steps of several keys share."""
        return hold_lock(self.uri.rpartition("/")[2], self.kind)

    def commit(self, expected: Iterable[str] = ()) -> Artifact:
        """The artifact of the marked files. Raises UserError where an expected file is missing."""
        files = self._marked()
        if missing := sorted(set(expected) - files.keys()):
            raise UserError(f"{self.kind}: {len(missing)} files are missing, first {missing[0]}; run the flow again")
        artifact = Artifact(self.kind, hash_files(files))
        if artifact.find_damage():
            storage.remove_stale(self.uri)
            for name in storage.list_files(self.uri).keys() - files.keys():
                if not name.startswith(f"{MARKS}/"):
                    storage.remove(storage.join(self.uri, name))
            told = {"kind": self.kind, "digest": artifact.digest, "files": files}
            self._publish(artifact, json.dumps(told, indent=2).encode())
        self.discard()
        return artifact

    def _marked(self) -> Files:
        """The marked files. Raises UserError, and forgets them, where some are not as they were written."""
        marks, there, files = storage.join(self.uri, MARKS), storage.list_files(self.uri), Files()
        for name in sorted(self.finished()):
            mark = storage.join(marks, name)
            files[name] = manifest.parse_entry(manifest.parse_json(storage.read(mark), mark), mark)
        if lost := [n for n, entry in files.items() if n not in there or there[n].size != entry["size"]]:
            for name in lost:
                self.remove(name)
            told = f"{len(lost)} files are not as they were written, first {lost[0]}"
            raise UserError(f"{self.uri}: {told}; run the same command again, which makes them again")
        return files

    def _publish(self, artifact: Artifact, listing: bytes) -> None:
        """Killed anywhere in here, either the artifact is whole or the draft still is."""
        if storage.is_s3(self.uri):
            for name in json.loads(listing)["files"]:
                storage.copy(storage.join(self.uri, name), storage.join(artifact.uri, name))
            storage.write(storage.join(artifact.uri, MANIFEST), listing)
            return
        storage.write(storage.join(self.uri, MANIFEST), listing)
        try:
            storage.move(self.uri, artifact.uri)
        except OSError:  # something is there already: the same from another process, or a ruin
            if not artifact.find_damage():
                return
            storage.remove(artifact.uri)
            storage.move(self.uri, artifact.uri)
        storage.remove(storage.join(artifact.uri, MARKS))


@dataclass
class DraftResult:
    """What `new_draft` yields: the draft, and after the block the artifact it became."""

    draft: Draft
    artifact: Artifact | None = None

    def put(self, name: str, content: bytes | Path) -> None:
        self.draft.put(name, content)

    def put_json(self, name: str, value: Any) -> None:
        self.draft.put_json(name, value)

    def result(self) -> Artifact:
        if self.artifact is None:
            raise RuntimeError("the artifact exists only after its `with draft(...)` block")
        return self.artifact


def open_draft(kind: str, key: str = "") -> Draft:
    """The draft of `key`, as an earlier run left it; without a key a new one."""
    return Draft(kind, storage.join(settings().root, DRAFTS, f"{kind}-{key or uuid.uuid4().hex}"))


@contextmanager
def new_draft(kind: str) -> Iterator[DraftResult]:
    """A new draft to fill in one go; on leaving the block it is committed, or gone where the block failed."""
    filling = DraftResult(open_draft(kind))
    try:
        yield filling
    except BaseException:
        filling.draft.discard()
        raise
    filling.artifact = filling.draft.commit()


def record_result(key: str, artifact: Artifact, step: str = "", inputs: Iterable[Artifact] = ()) -> None:
    """Note that the task of this key made this artifact. step: its name. inputs: the artifacts that it was given."""
    now, made_of = round(time.time()), sorted({(one.kind, one.digest) for one in inputs})
    note = {"kind": artifact.kind, "digest": artifact.digest, "step": step, "inputs": made_of}
    _write_note(key, note | {"made": now, "used": now})


def find_result(key: str) -> Artifact | None:
    """The artifact that a task with this key made, where it is still whole; what is not is said, and made again."""
    place = note_uri(key)
    try:
        note = manifest.parse_note(storage.read(place), place)
        artifact = Artifact(note["kind"], note["digest"])
        damage = artifact.find_damage()
    except FileNotFoundError:
        return None
    except UserError as problem:
        artifact, note, damage = None, {}, str(problem)
    if damage or not artifact:
        log.warning("%s; it is made again", damage)
        return None
    if time.time() - note.get("used", 0) > NOTED_SECONDS:
        _write_note(key, note | {"used": round(time.time())})
    return artifact


def note_uri(key: str) -> str:
    return storage.join(settings().root, NOTES, f"{key}.json")


def _write_note(key: str, note: dict[str, Any]) -> None:
    storage.write(note_uri(key), json.dumps(note).encode())


def artifact_at(path: str) -> Artifact:
    """The artifact at a path or URI. Raises UserError where none is."""
    told = manifest.read_manifest(path)
    return Artifact(told["kind"], told["digest"])
