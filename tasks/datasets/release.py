"""A release of a corpus: its name, its date, and whether it is whole or a segment of what is new (a delta).

Common Voice names them cv-corpus-17.0-2024-03-15 and cv-corpus-17.0-delta-2024-03-15, whose folder, or archive, holds
one folder a language.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from infra.errors import UserError
from tasks.corpora.corpus_uri import Corpus, fingerprint

DATED = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
DELTA = re.compile(r"(?:^|[-_.])delta(?:$|[-_.])", re.IGNORECASE)
ARCHIVE = re.compile(r"(\.tar)?\.(tar|tgz|gz|bz2|xz|zip)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Release:
    """name: what people call it. date: YYYY-MM-DD, "" where nothing says one. delta: a clip that it lacks is not
    withdrawn. fingerprint: of its files. locale: what its rows have to say, "" for what those before did.
    retracted_budget: the share of the data set's clips that it may lack.
    """

    corpus: Corpus
    fingerprint: str
    name: str
    date: str = ""
    delta: bool = False
    locale: str = ""
    retracted_budget: float = 0.5


def find_release(corpus: Corpus, *, delta: bool | None = None) -> Release:
    """By what its place is called. delta: None where the name says it."""
    parts = [ARCHIVE.sub("", part) for part in corpus.uri.split("/") if part]
    named = next((part for part in reversed(parts[-3:]) if DATED.search(part)), parts[-1] if parts else corpus.kind)
    release = Release(corpus=corpus, fingerprint=fingerprint(corpus), name=named)
    return _described(release, parts[-3:], delta=delta)


def describe_release(release: Release, files: Iterable[str]) -> Release:
    """With what the folders inside an archive say, where its name says nothing."""
    if release.date:
        return release
    folders = sorted({part for name in files for part in posixpath.dirname(name).split("/")[:2] if DATED.search(part)})
    return (
        _described(replace(release, name=folders[0]), folders[:1], delta=release.delta or None) if folders else release
    )


def _described(release: Release, parts: list[str], *, delta: bool | None) -> Release:
    dates = [found[1] for part in parts if (found := DATED.search(part))]
    said = any(DELTA.search(part) for part in parts)
    return replace(release, date=dates[-1] if dates else "", delta=said if delta is None else delta)


def check_order(release: Release, seen: list[dict[str, str]]) -> None:
    """Raises UserError for a release that is older than one that is in already. seen: `name` and `date` of each."""
    newest = max(seen, key=lambda one: one["date"], default=None)
    if newest and release.date and release.date < newest["date"]:
        raise UserError(
            f"release {release.name} ({release.date}) is older than {newest['name']} ({newest['date']}), which is in "
            "already; releases come in the order of their dates. Nothing was changed"
        )
