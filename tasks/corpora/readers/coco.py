"""Captions as COCO has them: JSON with `images` (id, file_name) and `annotations` (image_id, caption), and the photos.

    annotations/captions_train2017.json, captions_val2017.json      train2017/, val2017/

A file's name says its split. The photos of a file are in one folder: one named as the file says (train2017), else one
that names the same split, else one that names none.
"""

import json
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.photo_row import EXTENSIONS, PHOTO_FOLDERS, PhotoIngestConfig, PhotoRow
from tasks.corpora.split_names import KNOWN, order, resolve_splits, split_in_path
from tasks.corpora.utterance import Reject

NAMED = "caption"  # in the names of such files, beside which are those of boxes and of keypoints
LOOKED_AT = 20  # photos, to find their folder


def photos(source: CorpusFiles, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[PhotoRow | Reject]:
    files = find_annotations(source)
    for split in order(splits):
        for name, of_file in files.items():
            if split == ("" if options.own_splits else of_file):
                yield from _read(source, name, split, files)


def find_annotations(source: CorpusFiles) -> dict[str, str]:
    """The files of captions with their splits, "" for one alone that says none. Raises UserError where there are none,
    and for one that says no split beside others.
    """
    asked = posixpath.basename(source.asked)
    names = [asked] if asked else [name for name in source.names() if name.lower().endswith(".json")]
    named = [name for name in names if NAMED in posixpath.basename(name).lower()]
    if not (found := named or names[: None if len(names) == 1 else 0]):
        told = f"it has {', '.join(names[:5])}" if names else "it has no .json"
        raise UserError(f"corpus {source.uri}: captions are in files such as captions_train2017.json; {told}")
    parts = {name: split_in_path(name, source.uri if len(found) == 1 else "") for name in found}
    meanings = resolve_splits(filter(None, parts.values()))
    unsaid = [name for name, part in parts.items() if part not in meanings]
    if unsaid and len(found) > 1:
        raise UserError(f"{source.uri}/{unsaid[0]}: its name says no split, and there are others; {KNOWN}")
    return {name: meanings.get(part, "") for name, part in parts.items()}


def _read(source: CorpusFiles, name: str, split: str, files: dict[str, str]) -> Iterator[PhotoRow | Reject]:
    told = _parsed(source, name)
    photos, captions, doubled = dict[Any, str](), dict[Any, list[str]](), _doubled_ids(told["images"])
    for number, image in enumerate(told["images"]):
        place = f"{name}#images/{number}"
        if not _has(image, "id", int | str) or not _has(image, "file_name", str) or "\0" in image["file_name"]:
            yield Reject(split, place, "read", "malformed row", json.dumps(image)[:80])
        elif image["id"] in doubled:
            yield Reject(split, place, "read", "malformed row", f"id {image['id']} is of several photos")
        elif image["id"] in photos:
            yield Reject(split, place, "read", "malformed row", f"id {image['id']} is there twice")
        else:
            photos[image["id"]] = image["file_name"]
    for number, annotation in enumerate(told["annotations"]):
        place = f"{name}#annotations/{number}"
        if not _has(annotation, "image_id", int | str) or not _has(annotation, "caption", str):
            yield Reject(split, place, "caption", "malformed row", json.dumps(annotation)[:80])
        elif annotation["image_id"] not in photos:
            count = "several images have" if annotation["image_id"] in doubled else "no image has"
            detail = f"{count} the id {annotation['image_id']}"
            yield Reject(split, place, "caption", "caption without a photo", detail)
        else:
            captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    folder = _photo_folder(source, name, list(photos.values()), files)
    said = f"name {posixpath.basename(name)}" if split else ""
    for number, file_name in photos.items():
        place = posixpath.normpath(posixpath.join(folder, file_name))
        yield PhotoRow(split, source.find(place) or place, tuple(captions.get(number, ())), split_from=said)


def _doubled_ids(images: list[Any]) -> set[Any]:
    """Those of more than one photo: nobody knows which of them a caption is of."""
    names = defaultdict[Any, set[str]](set)
    for image in images:
        if _has(image, "id", int | str) and _has(image, "file_name", str):
            names[image["id"]].add(image["file_name"])
    return {number for number, those in names.items() if len(those) > 1}


def _has(row: Any, key: str, kind: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get(key), kind) and not isinstance(row[key], bool)


def _parsed(source: CorpusFiles, name: str) -> dict[str, Any]:
    place = f"{source.uri}/{name}"
    try:
        told = json.loads(source.read(name).decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not JSON: {error}; fetch it again") from error
    for key in ("images", "annotations"):
        if not isinstance(told, dict) or not isinstance(told.get(key), list):
            raise UserError(f"{place}: no list of {key}; captions in COCO's layout have images and annotations")
    return told


def _photo_folder(source: CorpusFiles, name: str, photos: list[str], files: dict[str, str]) -> str:
    """Where the photos of a file are: the first folder that holds any of those looked at."""
    beside = posixpath.dirname(name)
    root = posixpath.join(beside, "..")
    suffix = posixpath.basename(name).rpartition(".")[0].lower().replace("captions", "").replace(NAMED, "").strip("_-")
    there = {posixpath.dirname(found) for found in source.names() if found.lower().endswith(EXTENSIONS)}
    for named in filter(
        None, {suffix, suffix.rstrip("0123456789")}
    ):  # of the one file that is asked for, no more is known
        there |= {posixpath.normpath(posixpath.join(root, below, named)) for below in PHOTO_FOLDERS}
    there |= {posixpath.normpath(posixpath.join(place, below)) for place in (beside, root) for below in PHOTO_FOLDERS}
    said = {folder: split_in_path(folder) for folder in there}
    meanings = resolve_splits({*filter(None, said.values()), *filter(None, map(split_in_path, files))})

    def rank(folder: str) -> tuple[bool, bool, int, str]:
        same_name = posixpath.basename(folder).lower() == suffix
        return not same_name, not said[folder], folder.count("/"), folder

    mine = {files[name], ""}
    fitting = [folder for folder in there if meanings.get(said[folder], "") in mine]
    inside = [photo for photo in photos if not posixpath.normpath(photo).startswith(("/", "../"))]
    voters = inside or photos  # a path that leads elsewhere is there from any folder
    some = voters[:: max(1, len(voters) // LOOKED_AT)]
    for folder in sorted(fitting, key=rank):
        if any(source.locate(posixpath.join(folder, photo)) for photo in some):
            return folder
    return min(fitting, key=rank)
