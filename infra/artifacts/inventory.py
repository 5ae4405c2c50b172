"""The artifact store taken stock of: what there is, what it was made of, what registered models need."""

import re
from dataclasses import dataclass, field
from typing import Any

from infra import storage
from infra.artifact_store import DRAFTS, NOTES
from infra.artifacts.manifest import MANIFEST, parse_json, parse_note
from infra.artifacts.registry import RegisteredVersion, registered_versions, run_tags
from infra.errors import UserError
from infra.settings import settings

PLACE = re.compile(r"(?!mlflow/)([a-z][a-z0-9_-]{0,63})/([0-9a-f]{16})/(.+)", re.DOTALL)  # MLflow's own lies there too
PUBLICATION = "publication"
DATASETS = ".datasets"  # <root>/.datasets/<name>.json: the newest version of each data set (tasks/datasets/)

Name = tuple[str, str]  # kind, the first 16 digits of the digest


@dataclass
class StoredArtifact:
    """One artifact, or a ruin of one, without a manifest. made, used: seconds since 1970. inputs: what it was made of.
    models: the registered ones whose versions name it. datasets: those whose newest version it is.
    """

    name: Name
    size: int = 0
    made: float = 0.0
    used: float = 0.0
    whole: bool = False
    steps: set[str] = field(default_factory=set)
    inputs: set[Name] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "/".join(self.name)


@dataclass
class StoredDraft:
    """A folder that was being filled. changed: when a file in it last was, seconds since 1970."""

    name: str
    size: int = 0
    changed: float = 0.0


@dataclass(frozen=True)
class Inventory:
    """All that lies in the store."""

    artifacts: dict[Name, StoredArtifact]
    drafts: dict[str, StoredDraft]

    def dependents(self, name: Name) -> list[StoredArtifact]:
        return [one for one in self.artifacts.values() if name in one.inputs and one.name != name]

    def reach(self, roots: set[Name]) -> set[Name]:
        """These, what they were made of, and so on."""
        found, todo = set[Name](), [name for name in roots if name in self.artifacts]
        while todo:
            if (name := todo.pop()) not in found:
                found.add(name)
                todo += [made_of for made_of in self.artifacts[name].inputs if made_of in self.artifacts]
        return found

    def registered(self) -> dict[Name, str]:
        """What versions of registered models and data sets need, by one that does: "model asr/1", "data set cv"."""
        needed = dict[Name, str]()
        for one in self.artifacts.values():
            for user in (*(f"model {name}" for name in one.models), *(f"data set {name}" for name in one.datasets)):
                needed |= {name: user for name in self.reach({one.name}) if name not in needed}
        return needed


def take_inventory() -> Inventory:
    """With what data sets need; without what is registered, which `mark_registered` adds."""
    root = settings().root
    found = Inventory({}, {})
    for path, entry in storage.list_files(root, partial=True).items():
        if path.startswith(f"{DRAFTS}/"):
            name = path.split("/")[1]
            draft = found.drafts.setdefault(name, StoredDraft(name))
            draft.size, draft.changed = draft.size + entry.size, max(draft.changed, entry.modified)
        elif told := PLACE.fullmatch(path):
            one = found.artifacts.setdefault((told[1], told[2]), StoredArtifact((told[1], told[2])))
            one.size, one.whole = one.size + entry.size, one.whole or told[3] == MANIFEST
            one.made = max(one.made, entry.modified)
    for path in storage.list_files(storage.join(root, NOTES)):
        _read_note(found, storage.join(root, NOTES, path))
    heads = (path for path in storage.list_files(storage.join(root, DATASETS)) if path.endswith(".json"))
    for path in heads:
        place = storage.join(root, DATASETS, path)
        told = parse_json(storage.read(place), place)
        if one := found.artifacts.get(_name("dataset", str(told.get("digest", "")))):
            one.datasets.append(path.removesuffix(".json"))
    return found


def _read_note(found: Inventory, place: str) -> None:
    try:
        note = parse_note(storage.read(place), place)
    except (FileNotFoundError, UserError):  # a broken note is made again by its step, and says nothing till then
        return
    if one := found.artifacts.get(_name(note["kind"], note["digest"])):
        one.notes.append(place)
        one.inputs |= {_name(*made_of) for made_of in note["inputs"]}
        one.steps |= {note["step"]} - {""}
        one.used = max(one.used, note.get("used", 0.0), note.get("made", 0.0))


def mark_registered(found: Inventory) -> None:
    """What the registry names, and what the store's own publications say that another registry names. Raises UserError
    where the registry cannot be asked.
    """
    versions = registered_versions()
    known = {(version.name, version.version): version for version in versions}
    for version in versions:
        for kind, digest in version.digests.items():
            if one := found.artifacts.get(_name(kind, digest)):
                one.models.append(f"{version.name}/{version.version}")
    for one in [one for one in found.artifacts.values() if one.name[0] == PUBLICATION and one.whole]:
        _mark_published(found, one, known)


def _mark_published(found: Inventory, one: StoredArtifact, known: dict[tuple[str, str], RegisteredVersion]) -> None:
    told = _publication(one)
    if told is None:
        one.models.append(f"of {one}, which cannot be read,")
        return
    model, run_id = (told.get("name", ""), str(told.get("version", ""))), str(told.get("run_id", ""))
    if not all(model):
        return  # of an evaluation
    if model in known and known[model].run_id == run_id:
        one.models.append("/".join(model))
    elif not run_id or run_tags(run_id) is None:
        digests = [_name(kind, str(digest)) for kind, digest in told.get("digests", {}).items()]
        for name in [one.name, *digests]:
            if name in found.artifacts:
                found.artifacts[name].models.append(f"{'/'.join(model)} of another registry")


def _publication(one: StoredArtifact) -> dict[str, Any] | None:
    place = storage.join(settings().root, *one.name, "publication.json")
    try:
        told = parse_json(storage.read(place), place)
    except (FileNotFoundError, UserError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("digests", {}), dict) else None


def _name(kind: str, digest: str) -> Name:
    return kind, digest[:16]
