"""Flickr8k and Flickr30k as they are distributed: a file of captions, lists of each split's photos, and the photos.

    Flickr8k.token.txt, results_20130124.token    NAME.jpg#0<TAB>caption
    results.csv, captions.txt                     NAME.jpg| 0| caption, or NAME.jpg[,0],caption under a header
    Flickr_8k.trainImages.txt, train.txt, test    a photo's name a line, with or without its ending and folder

The photos may be in any folder. Without lists, or with ingest.own_splits, tasks/ingest/split_photos.py divides the
photos; where there are lists, a photo in none of them is left out and said.
"""

import csv
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.photo_row import EXTENSIONS, NO_LIST, PhotoIngestConfig, PhotoRow
from tasks.corpora.split_names import order, resolve_splits, split_in_path
from tasks.corpora.utterance import Reject

TABLES = (".txt", ".token", ".csv")
PHOTO = r"\.(?:jpe?g|png|gif|webp|bmp|tiff?)"
TOKEN = re.compile(r"([^\t#]+\.\w+)\s*#\d+\s*\t(.*)", re.DOTALL)
BARS = re.compile(rf"([^|]+{PHOTO})\s*\|\s*\d+\s*\|(.*)", re.DOTALL | re.IGNORECASE)
COMMAS = re.compile(rf"([^,\t|]+{PHOTO}),(.*)", re.DOTALL | re.IGNORECASE)
PATTERNS = (TOKEN, BARS, COMMAS)  # the surest first: prose may look like the last
NUMBERED = re.compile(r"[^,]*,[^,]*number[^,]*,[^,]*", re.IGNORECASE)  # a header
NUMBER = re.compile(r"\A\s*\d+\s*,")
NAME = re.compile(rf"[^\t,|#]+{PHOTO}", re.IGNORECASE)
FIRST_LINES = 3  # of a file, that say what it is


class FlickrFiles(NamedTuple):
    """known: the photos that have captions. faults: lines without one, with their places. lists: of photos' names, with
    the split that each is of.
    """

    known: "CaptionedPhotos"
    faults: list[tuple[str, str]]
    lists: dict[str, str]


def photos(source: CorpusFiles, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[PhotoRow | Reject]:
    found, places = find_flickr(source, own_splits=options.own_splits), _Places(source)
    listed, captions = _read_lists(source, found), found.known.captions
    for split in order(splits):
        if split == ("train" if listed else ""):
            yield from (Reject(split, place, "read", "malformed row", line) for place, line in found.faults)
        for photo, (of_photo, told) in listed.items():
            if of_photo == split:
                yield places.row(split, photo, captions.get(photo, ()), told)
        for photo, those in captions.items():
            if not listed and not split:
                yield places.row("", photo, those)
            elif listed and split == "train" and photo not in listed:
                yield Reject(split, photo, "divide", NO_LIST, f"of {', '.join(found.lists)}")


def find_flickr(source: CorpusFiles, *, own_splits: bool) -> FlickrFiles:
    """own_splits: lists are of no interest. Raises UserError where there is no file of captions, and for a file whose
    name says a split and whose lines name no photo.
    """
    tables, others = dict[str, tuple[int, bool, int]](), dict[str, list[str]]()
    for name in [posixpath.basename(source.asked)] if source.asked else source.names():
        if name.lower().endswith(TABLES):
            first = [line for line in islice(source.lines(name), FIRST_LINES) if line.strip()]
            counts = [sum(bool(pattern.fullmatch(line)) for line in first) for pattern in PATTERNS]
            if any(counts):
                rank = next(n for n, count in enumerate(counts) if count)
                tables[name] = rank, "lemma" in name, -counts[rank]
            elif first:
                others[name] = first
    if not tables:
        raise UserError(f"corpus {source.uri}: no file of captions (NAME.jpg#0, a tab, a caption) such as .token.txt")
    # Flickr8k.lemma.token.txt, the captions' stems, is beside the captions.
    table = min(tables, key=lambda name: (*tables[name], name.count("/"), len(name), name))
    captions, faults = _read_captions(source, table)
    wanted = () if own_splits else others
    said = {name: split_in_path(posixpath.basename(name).replace("_", " ")) for name in wanted}
    meanings, known = resolve_splits(filter(None, said.values())), CaptionedPhotos(captions)
    lists = dict[str, str]()
    for name, part in said.items():
        if part not in meanings:
            continue
        if not any(NAME.fullmatch(line.strip()) or known.find(line) in captions for line in others[name]):
            told = f"its name says {meanings[part]}, but its first lines name no photo of {table}"
            raise UserError(f"{source.uri}/{name}: {told}; mend it, move it away, or set ingest.own_splits=true")
        lists[name] = meanings[part]
    return FlickrFiles(known, faults, lists)


class CaptionedPhotos:
    """captions: by the photo's name in their file. A list may name it without its ending, or with a folder."""

    def __init__(self, captions: dict[str, tuple[str, ...]]) -> None:
        self.captions = captions
        stems = defaultdict[str, list[str]](list)
        for photo in captions:
            stems[photo.rpartition(".")[0]].append(photo)
        self.stems = {stem: of_stem[0] for stem, of_stem in stems.items() if len(of_stem) == 1}

    def find(self, line: str) -> str:
        """The name in the captions, or that of the list where they have none."""
        name = line.strip()
        if name in self.captions:
            return name
        base = posixpath.basename(name)
        return base if base in self.captions else self.stems.get(base, name)


class _Places:
    """Where the photos lie: a name is found in any folder."""

    def __init__(self, source: CorpusFiles) -> None:
        self.names = {name for name in source.names() if name.lower().endswith(EXTENSIONS)}
        self.places = defaultdict[str, list[str]](list)
        for name in sorted(self.names):
            self.places[posixpath.basename(name)].append(name)

    def row(self, split: str, photo: str, captions: tuple[str, ...], told: str = "") -> PhotoRow | Reject:
        there = [photo] if photo in self.names else self.places.get(posixpath.basename(photo), [])
        if len(there) > 1:
            return Reject(split, photo, "read", "several photos of one name", ", ".join(there[:5]))
        return PhotoRow(split, there[0] if there else photo, captions, split_from=told)


def _read_captions(source: CorpusFiles, name: str) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str]]]:
    """The captions of each photo, and lines that have none, with their places."""
    found, faults, numbered = dict[str, list[str]](), list[tuple[str, str]](), False
    for number, line in enumerate(source.lines(name), start=1):
        if not line.strip():
            continue
        matched = next((m for pattern in PATTERNS if (m := pattern.fullmatch(line))), None)
        if matched:
            caption = (NUMBER.sub("", matched[2], count=1) if numbered else matched[2]).strip()
            if caption.startswith('"') and matched.re is COMMAS:
                caption = next(csv.reader([caption]))[0]
            found.setdefault(matched[1].strip(), []).append(caption)
        elif number == 1:  # which may be a header
            numbered = bool(NUMBERED.fullmatch(line))
        else:
            faults.append((f"{name}:{number}", line[:80]))
    return {photo: tuple(those) for photo, those in found.items()}, faults


def _read_lists(source: CorpusFiles, files: FlickrFiles) -> dict[str, tuple[str, str]]:
    """For each photo that is listed its split and which list says so: the first of test, dev and train."""
    found = dict[str, tuple[str, str]]()
    ranks = {split: rank for rank, split in enumerate(order(files.lists.values()))}
    for name, split in sorted(files.lists.items(), key=lambda item: ranks[item[1]]):
        for line in source.lines(name):
            if line.strip():
                found.setdefault(files.known.find(line), (split, f"list {name}"))
    return found
