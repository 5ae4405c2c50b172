"""Flickr8k and Flickr30k as they are distributed: a file of captions, lists of each split's photos, and the photos.

    Flickr8k.token.txt, results_20130124.token    NAME.jpg#0<TAB>caption
    results.csv, captions.txt                     NAME.jpg| 0| caption, or NAME.jpg[,0],caption under a header
    Flickr_8k.trainImages.txt, dev, test          a photo's name a line

The photos may be in any folder. Without lists, or with ingest.own_splits, tasks/ingest/split_photos.py divides the
photos; where there are lists, a photo in none of them is left out and said.
"""

import csv
import posixpath
import re
from collections.abc import Iterator
from itertools import islice

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.photo_row import EXTENSIONS, NO_LIST, PhotoIngestConfig, PhotoRow
from tasks.corpora.split_names import order, resolve_splits, split_in_path
from tasks.corpora.utterance import Reject

TABLES = (".txt", ".token", ".csv")
TOKEN = re.compile(r"([^\t#]+\.\w+)\s*#\d+\s*\t(.*)", re.DOTALL)
BARS = re.compile(r"([^|]+\.\w+)\s*\|\s*\d+\s*\|(.*)", re.DOTALL)
COMMAS = re.compile(r"([^,\t|]+\.\w+),(.*)", re.DOTALL)
NUMBERED = re.compile(r"[^,]*,[^,]*number[^,]*,[^,]*", re.IGNORECASE)  # a header
NUMBER = re.compile(r"\A\s*\d+\s*,")
NAME = re.compile(r"[^\t,|#]+\.(?:jpe?g|png|gif|webp|bmp|tiff?)", re.IGNORECASE)
FIRST_LINES = 3  # of a file, that say what it is


def photos(source: CorpusFiles, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[PhotoRow | Reject]:
    table, lists = find_flickr(source)
    places = {posixpath.basename(name): name for name in source.names() if name.lower().endswith(EXTENSIONS)}
    captions, faults = _read_captions(source, table)
    listed = {} if options.own_splits else _read_lists(source, lists)
    for split in order(splits):
        if split == ("train" if listed else ""):
            yield from (Reject(split, place, "read", "malformed row", line) for place, line in faults)
        for photo, (of_photo, told) in listed.items():
            if of_photo == split:
                yield PhotoRow(split, places.get(photo, photo), captions.get(photo, ()), split_from=told)
        for photo, those in captions.items():
            if not listed and not split:
                yield PhotoRow("", places.get(photo, photo), those)
            elif listed and split == "train" and photo not in listed:
                yield Reject(split, photo, "divide", NO_LIST, f"of {', '.join(lists)}")


def find_flickr(source: CorpusFiles) -> tuple[str, dict[str, str]]:
    """The file of captions, and what splits the lists are of. Raises UserError where there is no file of captions."""
    tables, lists = list[str](), dict[str, str]()
    for name in [posixpath.basename(source.asked)] if source.asked else source.names():
        if name.lower().endswith(TABLES):
            first = [line for line in islice(source.lines(name), FIRST_LINES) if line.strip()]
            if first and any(pattern.fullmatch(first[-1]) for pattern in (TOKEN, BARS, COMMAS)):
                tables.append(name)
            elif first and all(NAME.fullmatch(line.strip()) for line in first):
                lists[name] = split_in_path(posixpath.basename(name).replace("_", " "))
    if not tables:
        raise UserError(f"corpus {source.uri}: no file of captions (NAME.jpg#0, a tab, a caption) such as .token.txt")
    meanings = resolve_splits(filter(None, lists.values()))
    # Flickr8k.lemma.token.txt, the captions' stems, is beside the captions.
    table = min(tables, key=lambda name: ("lemma" in name, name.count("/"), len(name), name))
    return table, {name: meanings[part] for name, part in lists.items() if part in meanings}


def _read_captions(source: CorpusFiles, name: str) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str]]]:
    """The captions of each photo, and lines that have none, with their places."""
    found, faults, numbered = dict[str, list[str]](), list[tuple[str, str]](), False
    for number, line in enumerate(source.lines(name), start=1):
        if not line.strip():
            continue
        matched = TOKEN.fullmatch(line) or BARS.fullmatch(line) or COMMAS.fullmatch(line)
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


def _read_lists(source: CorpusFiles, lists: dict[str, str]) -> dict[str, tuple[str, str]]:
    """For each photo that is listed its split and which list says so: the first of test, dev and train."""
    found = dict[str, tuple[str, str]]()
    ranks = {split: rank for rank, split in enumerate(order(lists.values()))}
    for name, split in sorted(lists.items(), key=lambda item: ranks[item[1]]):
        for line in source.lines(name):
            if line.strip():
                found.setdefault(line.strip(), (split, f"list {name}"))
    return found
