"""The recordings that a command line names: files, folders, patterns; and what their transcripts are called."""

import glob
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from infra import storage
from infra.errors import UserError

STANDARD_OUTPUT = "-"
# What a folder is searched for; a file that is named itself may be called anything.
LIBSNDFILE = {"aif", "aifc", "aiff", "au", "caf", "flac", "gsm", "mp2", "mp3", "oga", "ogg", "opus", "rf64", "snd"}
LIBSNDFILE |= {"sph", "voc", "w64", "wav"}
EXTENSIONS = LIBSNDFILE | {"aac", "amr", "avi", "m4a", "mfc", "mka", "mkv", "mov", "mp4", "webm", "wma", "wv"}


class Recording(NamedTuple):
    """name: of its transcript, without a suffix; with slashes where it lies in folders."""

    place: str
    name: str


def find_recordings(given: Sequence[str]) -> list[Recording]:
    """Each file once, in the order given, a folder's sorted. Raises UserError for what names none."""
    found = dict[str, PurePosixPath]()
    for place in given:
        for path, relative in _named(place):
            found.setdefault(path, relative)
    stems = Counter(str(relative.with_suffix("")).lower() for relative in found.values())
    names, taken = list[str](), set[str]()
    for relative in found.values():
        stem = str(relative.with_suffix(""))
        name = stem if stems[stem.lower()] == 1 else str(relative)
        while name.lower() in taken:
            name += "_"
        names.append(name)
        taken.add(name.lower())
    return [Recording(path, name) for path, name in zip(found, names, strict=True)]


def _named(place: str) -> list[tuple[str, PurePosixPath]]:
    """The files that one argument names, each with its path below the folder that was named."""
    if storage.is_s3(place) and not _is_audio(place):
        inside = sorted(name for name in storage.list_files(place) if _is_audio(name))
        return [(storage.join(place, name), PurePosixPath(name)) for name in inside] or _none(place)
    if storage.is_s3(place):
        return [(place, PurePosixPath(place.rpartition("/")[2]))]
    if os.path.isdir(place):
        inside = sorted(p for p in Path(place).rglob("*") if _is_audio(p.name) and p.is_file())
        return [(str(p.absolute()), PurePosixPath(p.relative_to(place))) for p in inside] or _none(place)
    if os.path.exists(place) or not glob.has_magic(place):
        if not os.path.exists(place):
            raise UserError(f"{place}: no such file, folder or pattern")
        return [(os.path.abspath(place), PurePosixPath(os.path.basename(place)))]
    matching = sorted(path for path in glob.glob(place, recursive=True) if os.path.isfile(path))
    if not matching:
        raise UserError(f"{place}: no file matches")
    top = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in matching])
    return [(os.path.abspath(path), PurePosixPath(os.path.relpath(path, top))) for path in matching]


def _none(place: str) -> list[tuple[str, PurePosixPath]]:
    raise UserError(f"{place}: no recording in this folder; they end in .wav, .flac, .mp3, .m4a, ...")


def _is_audio(name: str) -> bool:
    return name.rpartition(".")[2].lower() in EXTENSIONS and not name.rpartition("/")[2].startswith(".")
