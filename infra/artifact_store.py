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
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from infra import storage
from infra.errors import UserError
from infra.lock import hold_lock
from infra.s3_cache import local_copy
from infra.settings import settings

MANIFEST = "manifest.json"
MARKS = ".marks"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A reference small enough to pass between tasks, log and print; the bytes stay in the store."""

    kind: str  # "shards", "tokenizer", "features", "bundle", "transcripts", "report", ...
    digest: str  # SHA-256 of the sorted (file name, size, file hash) triples

    @property
    def uri(self) -> str:
        return storage.join(settings().root, self.kind, self.digest[:16])

    def manifest(self) -> dict[str, Any]:
        """`{"kind", "digest", "files": {name: {"size", "sha256"}}}`. Raises UserError where there is none."""
        try:
            return json.loads(storage.read(storage.join(self.uri, MANIFEST)))
        except FileNotFoundError as error:
            raise UserError(
                f"{self.uri} has no {MANIFEST}: it was deleted or never finished; run the flow again"
            ) from error

    def exists(self) -> bool:
        """Whether it is finished and still there."""
        return storage.stat(storage.join(self.uri, MANIFEST)) is not None

    def names(self, suffix: str = "") -> list[str]:
        return sorted(name for name in self.manifest()["files"] if name.endswith(suffix))

    def file(self, name: str) -> Path:
        """A local path to read the file at: itself, or a copy in the bounded cache."""
        uri = storage.join(self.uri, name)
        return local_copy(uri) if storage.is_s3(uri) else Path(uri)

    def read(self, name: str) -> bytes:
        return storage.read(storage.join(self.uri, name))

    def read_json(self, name: str) -> Any:
        return json.loads(self.read(name))

    def __str__(self) -> str:
        return f"{self.kind}/{self.digest[:16]}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A place to fill with files; only a reference, so it may travel to other processes."""

    kind: str
    uri: str

    def put(self, name: str, content: bytes | Path) -> None:
        """Store bytes or a local file under `name`, then its mark (size, SHA-256)."""
        target = storage.join(self.uri, name)
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
        with storage.stage_file(storage.join(self.uri, name)) as local:
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
        return set(storage.list_files(storage.join(self.uri, MARKS)))

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
        marks = storage.join(self.uri, MARKS)
        files = {name: json.loads(storage.read(storage.join(marks, name))) for name in sorted(self.finished())}
        if missing := sorted(set(expected) - files.keys()):
            raise UserError(f"{self.kind}: {len(missing)} files are missing, first {missing[0]}; run the flow again")
        artifact = Artifact(self.kind, hash_files(files))
        if not artifact.exists():
            storage.remove_stale(self.uri)
            for name in storage.list_files(self.uri).keys() - files.keys():
                if not name.startswith(f"{MARKS}/"):
                    storage.remove(storage.join(self.uri, name))
            manifest = {"kind": self.kind, "digest": artifact.digest, "files": files}
            self._publish(artifact, json.dumps(manifest, indent=2).encode())
        self.discard()
        return artifact

    def _publish(self, artifact: Artifact, manifest: bytes) -> None:
        """Killed anywhere in here, either the artifact is whole or the draft still is."""
        if storage.is_s3(self.uri):
            for name in json.loads(manifest)["files"]:
                storage.copy(storage.join(self.uri, name), storage.join(artifact.uri, name))
            storage.write(storage.join(artifact.uri, MANIFEST), manifest)
            return
        storage.write(storage.join(self.uri, MANIFEST), manifest)
        try:
            storage.move(self.uri, artifact.uri)
        except OSError:  # something is there already: the same from another process, or a ruin without a manifest
            if artifact.exists():
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
    return Draft(kind, storage.join(settings().root, ".drafts", f"{kind}-{key or uuid.uuid4().hex}"))


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


def record_result(key: str, artifact: Artifact) -> None:
    """Note that the task of this key made this artifact."""
    note = json.dumps({"kind": artifact.kind, "digest": artifact.digest}).encode()
    storage.write(storage.join(settings().root, ".memory", f"{key}.json"), note)


def find_result(key: str) -> Artifact | None:
    """The artifact that a task with this key made, where it is still whole."""
    try:
        artifact = Artifact(**json.loads(storage.read(storage.join(settings().root, ".memory", f"{key}.json"))))
    except FileNotFoundError:
        return None
    return artifact if artifact.exists() else None


def artifact_at(path: str) -> Artifact:
    """The artifact at a path or URI. Raises UserError where none is."""
    try:
        manifest = json.loads(storage.read(storage.join(path, MANIFEST)))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path}: no artifact there (no {MANIFEST})") from error
    return Artifact(manifest["kind"], manifest["digest"])


def hash_files(files: dict[str, dict[str, Any]]) -> str:
    listing = [(name, files[name]["size"], files[name]["sha256"]) for name in sorted(files)]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
