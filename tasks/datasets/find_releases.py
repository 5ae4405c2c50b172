"""Releases below a watched place, a folder or an S3 prefix, that a data set has not taken in yet.

A release is an archive or a folder directly below it; of a folder that has one of the locale's name, that one. One that
is still being copied is left for the next time: one that has a file with the name of an unfinished download, and one
whose files are others at a second look some seconds after the first.
"""

import re
import time
from typing import NamedTuple

from infra import storage
from infra.errors import UserError
from tasks.corpora.archive_format import NAMED_SO
from tasks.corpora.corpus_uri import Corpus, corpus_kinds, parse_corpus
from tasks.datasets.dataset_head import seen_releases
from tasks.datasets.release import Release, find_release

KIND = "commonvoice"  # of releases where the watched place names none
# What browsers, rsync, aws, curl and FTP programs call a file until it is whole.
UNFINISHED = re.compile(
    r"(\.(part|partial|tmp|temp|crdownload|download|filepart|incomplete)|~)$|(^|/)\.[^/]+\.\w{6}$", re.I
)


class FoundReleases(NamedTuple):
    """ready: those that are whole, the oldest first. unfinished: names of those that are left for the next time."""

    ready: tuple[Release, ...]
    unfinished: tuple[str, ...] = ()


def parse_watched(text: str) -> Corpus:
    """A place that releases are put into: a folder, s3://bucket/prefix, or KIND:URI where they are not of Common Voice.

    Raises UserError for one that is not there, and for a single file.
    """
    kind, colon, _ = text.partition(":")
    watched = parse_corpus(text if colon and kind in corpus_kinds("utterances") else f"{KIND}:{text}")
    if watched.kind == "demo" or storage.stat(watched.uri):
        raise UserError(f"--watch {text}: name the folder or s3://bucket/prefix that releases are put into")
    return watched


def find_new_releases(watched: Corpus, dataset: str, locale: str, settle_seconds: float) -> FoundReleases:
    """Those that the data set has not seen as they are now. watched: the place, and the kind of its releases.

    Raises UserError where the place is a release itself.
    """
    seen = seen_releases(dataset)
    places = _places(watched, locale)
    first = {place: one for place, one in places.items() if one and seen.get(str(one.corpus)) != one.fingerprint}
    waiting = [place for place, one in places.items() if one is None]
    if not first:
        return FoundReleases((), tuple(waiting))
    time.sleep(settle_seconds)  # what still grows is another release by then
    again = _places(watched, locale)
    ready = [one for place, one in first.items() if again.get(place) == one]
    waiting += [place for place, one in first.items() if again.get(place) != one]
    return FoundReleases(tuple(sorted(ready, key=lambda one: (one.date, one.name))), tuple(sorted(waiting)))


def _places(watched: Corpus, locale: str) -> dict[str, Release | None]:
    """Each release by its name below the watched place, None for one that has a file that is unfinished."""
    below = list(storage.list_files(watched.uri))
    if tables := [name for name in below if "/" not in name and name.lower().endswith(".tsv")]:
        place = watched.uri.rpartition("/")[0]
        raise UserError(f"{watched.uri} is a release itself (it has {tables[0]}); watch the folder it is in, {place}")
    found: dict[str, Release | None] = {}
    places = {_place(name, locale) for name in below} - {""}
    for name in sorted(places - {place.partition("/")[0] for place in places if "/" in place}):
        inside = [one for one in below if one == name or one.startswith(f"{name}/")]
        corpus = Corpus(kind=watched.kind, uri=storage.join(watched.uri, name), verb=watched.verb)
        found[name] = None if any(UNFINISHED.search(one) for one in inside) else find_release(corpus)
    return found


def _place(name: str, locale: str) -> str:
    """The release that a file is of or is, "" for none, such as a README beside them."""
    first, *folders = name.split("/")
    if first.startswith("."):
        return ""
    if not folders:
        return first if NAMED_SO.search(UNFINISHED.sub("", first)) else ""
    return f"{first}/{locale}" if locale and len(folders) > 1 and folders[0] == locale else first
