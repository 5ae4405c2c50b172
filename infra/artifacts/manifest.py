"""What the store's own files may say: manifests, marks and notes, checked as they are read, whoever wrote them.

A manifest comes with a model from elsewhere, and what it says becomes paths. Nothing that it names lies outside its
folder, and its digest is that of its listing.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from infra import storage
from infra.errors import UserError

MANIFEST = "manifest.json"
MARKS = ".marks"
MOST_BYTES = 64 << 20  # of one JSON file: millions of entries, and not more than a machine can hold parsed
LONGEST_NAME = 1024  # bytes, the most that S3 takes
KIND = re.compile(r"[a-z][a-z0-9_-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{1,64}")
# No part that is empty, "." or "..", no drive, no backslash, no control character, nothing that UTF-8 has not.
NAME = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|\Z))(?![A-Za-z]:)[^\x00-\x1f\x7f\\\ud800-\udfff]+", re.DOTALL)
REMEDY = "fetch it again, or make it again"

Files = dict[str, dict[str, Any]]  # name: {"size", "sha256"}


def check_name(name: object, where: str) -> str:
    """The name of a file below its folder. Raises UserError for one that may lie elsewhere, or is the store's own."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name.encode()) > LONGEST_NAME:
        raise UserError(f"{where} names a file outside its folder, or none at all: {_shown(name)}; do not use it")
    if name == MANIFEST or name.startswith(f"{MARKS}/"):
        raise UserError(f"{where} names {_shown(name)}, which is the store's own; do not use it")
    return name


def check_reference(kind: object, digest: object) -> None:
    """Raises UserError where these are not what artifacts are called by: both become a path."""
    if not isinstance(kind, str) or not KIND.fullmatch(kind):
        raise UserError(f"no kind of artifact: {_shown(kind)} (small letters, digits, - and _)")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise UserError(f"no digest of an artifact: {_shown(digest)} (64 hexadecimal digits)")


def hash_files(files: Files) -> str:
    listing = [(name, files[name]["size"], files[name]["sha256"]) for name in sorted(files)]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_json(data: bytes, where: str) -> Any:
    """Raises UserError for what is not JSON, is too long or too deep, or says the same name twice."""
    if len(data) > MOST_BYTES:
        raise UserError(f"{where}: {len(data):,} bytes of JSON, {MOST_BYTES:,} at most; {REMEDY}")
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except RecursionError as error:
        raise UserError(f"{where}: not readable as JSON (nested too deep); {REMEDY}") from error
    except ValueError as error:
        reason = "it is empty" if not data else str(error).splitlines()[0][:200]
        raise UserError(f"{where}: not readable as JSON ({reason}); {REMEDY}") from error


def parse_manifest(data: bytes, where: str) -> dict[str, Any]:
    """`{"kind", "digest", "files": {name: {"size", "sha256"}}}`, nothing else. Raises UserError for any other."""
    told = parse_json(data, where)
    if not isinstance(told, dict) or not isinstance(told.get("files"), dict):
        raise UserError(f'{where}: not the manifest of an artifact (no "files" in it); {REMEDY}')
    kind, digest = told.get("kind"), told.get("digest")
    _checked(where, kind, digest)
    files = {check_name(name, where): parse_entry(entry, f"{where}: {name}") for name, entry in told["files"].items()}
    if clash := next((name for name in files if any(str(up) in files for up in Path(name).parents)), None):
        raise UserError(f"{where} names {clash} and a file where its folder would be; do not use it")
    if hash_files(files) != digest:
        raise UserError(f"{where}: its digest is not that of the files that it lists; {REMEDY}")
    return {"kind": kind, "digest": digest, "files": files}


def read_manifest(path: str) -> dict[str, Any]:
    """`{"kind", "digest", "files"}` of the artifact at a path or URI, checked. Raises UserError where none is."""
    place = storage.join(path, MANIFEST)
    try:
        found = storage.stat(place)
        if found and found.size > MOST_BYTES:
            raise UserError(f"{place}: {found.size:,} bytes, which no manifest has; do not use it")
        data = storage.read(place) if found else b""
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({error.strerror})") from error
    if not found:
        raise UserError(f"{path}: no artifact there (no {MANIFEST})")
    return parse_manifest(data, place)


def parse_entry(entry: object, where: str) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    told = entry if isinstance(entry, dict) else {}
    size, sha256 = told.get("size"), told.get("sha256")
    if type(size) is not int or size < 0 or not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UserError(f"{where}: no size and SHA-256 of a file; {REMEDY}")
    return {"size": size, "sha256": sha256}


def parse_note(data: bytes, where: str) -> dict[str, Any]:
    """What a step made: `{"kind", "digest"}`, and since there is lineage `{"step", "made", "used", "inputs"}`."""
    told = parse_json(data, where)
    if not isinstance(told, dict):
        raise UserError(f"{where}: not the note of a step; delete it")
    inputs = told.get("inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(i, list) and len(i) == 2 for i in inputs):
        raise UserError(f"{where}: inputs that are none; delete it")
    for kind, digest in [(told.get("kind"), told.get("digest")), *inputs]:
        _checked(where, kind, digest)
    times = {name: told[name] for name in ("made", "used") if isinstance(told.get(name), int | float)}
    step = told.get("step")
    return {"kind": told["kind"], "digest": told["digest"], "step": step if isinstance(step, str) else "",
            "inputs": [tuple(one) for one in inputs], **times}  # fmt: skip


def verify_files(place: str, files: Files) -> None:
    """Raises UserError unless every file at a folder or prefix is there, in it, and by its hash what is listed."""
    root = "" if storage.is_s3(place) else os.path.realpath(place)
    for name, entry in files.items():
        uri = storage.join(place, name)
        if root and not os.path.realpath(uri).startswith(f"{root}/"):
            raise UserError(f"{uri} is a link that leads outside its folder; do not use it")
        found = None if root and os.path.islink(os.path.realpath(uri)) else storage.stat(uri)  # None: a link to itself
        if found is None:
            raise UserError(f"{uri} is missing, and {MANIFEST} lists it; {REMEDY}")
        if found.size != entry["size"]:
            raise UserError(f"{uri} has {found.size:,} bytes, not the {entry['size']:,} of {MANIFEST}; {REMEDY}")
        with storage.open_binary(uri) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  (it reads into buffers)
        if sha256 != entry["sha256"]:
            raise UserError(f"{uri} is not the file that was stored (SHA-256 differs); {REMEDY}")


def _checked(where: str, kind: object, digest: object) -> None:
    try:
        check_reference(kind, digest)
    except UserError as error:
        raise UserError(f"{where}: {error}; {REMEDY}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"{_shown(twice)} is there twice")
    return found


def _shown(value: object) -> str:
    """For a line that a user reads, whatever it is."""
    text = ascii(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
