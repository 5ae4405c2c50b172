"""Data sets by name: which version is the newest, and which releases were looked at.

    <root>/.datasets/<name>.json        {"digest", "seen": {corpus: {"fingerprint", "release", "digest"}},
                                         "trained": {model: the fields of TrainingNote}}

The only thing about a data set that changes; written last, under a lock. Beside it <name>.places.parquet
remembers which clips need not be read again (tasks/datasets/release_rows.py).
"""

import json
import re
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from infra import storage
from infra.artifact_store import Artifact
from infra.artifacts.inventory import DATASETS
from infra.errors import UserError
from infra.lock import hold_lock
from infra.settings import settings
from tasks.corpora.corpus_uri import IngestConfig
from tasks.datasets.add_release import add_release
from tasks.datasets.ingest_release import ingest_release
from tasks.datasets.release import Release
from tasks.datasets.release_rows import ClipPlaces
from tasks.datasets.version_index import KIND, list_versions

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Update(NamedTuple):
    """version: the newest now. parent: the newest before, None for none. told: in a line where nothing has changed."""

    version: Artifact
    parent: Artifact | None
    told: str = ""

    @property
    def changed(self) -> bool:
        return self.version != self.parent


class TrainingNote(NamedTuple):
    """How far a model's training on a version has come. request: a digest of what was asked for. data: of the version.
    champion, challenger: versions of the model, "" for none yet. alias: what was decided, "" before.
    """

    request: str = ""
    data: str = ""
    champion: str = ""
    challenger: str = ""
    alias: str = ""


def read_training_note(name: str, model: str) -> TrainingNote:
    return TrainingNote(**_read_head(_checked(name)).get("trained", {}).get(model, {}))


def write_training_note(name: str, model: str, note: TrainingNote) -> None:
    with _locked(name):
        head = _read_head(name)
        _write_head(name, head | {"trained": head.get("trained", {}) | {model: note._asdict()}})


def seen_releases(name: str) -> dict[str, str]:
    """The fingerprint of each corpus that the data set has looked at, by KIND:URI; empty where there is no data set."""
    return {place: told["fingerprint"] for place, told in _read_head(_checked(name))["seen"].items()}


def update_dataset(name: str, release: Release, options: IngestConfig) -> Update:
    """The data set with a release, ingested as far as it is new. Raises UserError, with nothing changed, for a release
    that cannot be the next one (tasks/datasets/ingest_release.py).
    """
    with _locked(name):
        head = _read_head(name)
        parent = Artifact(KIND, head["digest"]) if head["digest"] else None
        place, seen = str(release.corpus), head["seen"]
        if parent and seen.get(place, {}).get("fingerprint") == release.fingerprint:
            return Update(parent, parent, f"release {release.name} is in already; nothing new")
        places = ClipPlaces(_place(name, "places.parquet"))
        version = add_release(parent, ingest_release(parent, release, options, places))
        seen[place] = {"fingerprint": release.fingerprint, "release": release.name, "digest": version.digest}
        _write_head(name, head | {"digest": version.digest, "seen": seen})
    same = f"release {release.name} has nothing that {name} has not; nothing new"
    return Update(version, parent, same if version == parent else "")


def find_version(name: str, digest: str = "") -> Artifact:
    """The newest version of a data set, or the one whose digest or number this is. Raises UserError for none."""
    head = _read_head(_checked(name))
    if not head["digest"]:
        known = ", ".join(list_datasets()) or "none yet"
        raise UserError(f"no data set {name!r}; there are: {known}")
    newest = Artifact(KIND, head["digest"])
    if not digest:
        return newest
    versions = list(list_versions(newest))
    numbered = dict(zip(map(str, range(len(versions), 0, -1)), versions, strict=True))
    fits = [one for one in versions if len(digest) >= 4 and one.digest.startswith(digest)]
    if digest in numbered:
        fits = [numbered[digest]]
    if len(fits) != 1:
        raise UserError(f"data set {name}: no version {digest!r}; scriptorium dataset log {name} lists them")
    return fits[0]


def list_datasets() -> list[str]:
    found = storage.list_files(storage.join(settings().root, DATASETS))
    return sorted(path.removesuffix(".json") for path in found if path.endswith(".json"))


def _locked(name: str) -> AbstractContextManager[None]:
    return hold_lock(f"dataset-{_checked(name)}", f"data set {name}")


def _write_head(name: str, head: dict[str, Any]) -> None:
    storage.write(_place(name), json.dumps(head, indent=2).encode())


def _read_head(name: str) -> dict[str, Any]:
    try:
        return json.loads(storage.read(_place(name)))
    except FileNotFoundError:
        return {"digest": "", "seen": {}}


def _place(name: str, what: str = "json") -> str:
    return storage.join(settings().root, DATASETS, f"{name}.{what}")


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(f"data set {name!r}: a name has letters, digits, '.', '_' and '-'")
    return name
