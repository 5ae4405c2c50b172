"""What a release changes in a data set, clip by clip, by content: no file is read for it."""

import json
import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tasks.datasets.hash_split import settle_sentences
from tasks.datasets.version_index import (
    DETAILS_CHANGED,
    DUPLICATE,
    MOVED,
    NEW,
    RETRACTED,
    TEXT_CHANGED,
    VOTES_CHANGED,
    Row,
    example_sha256,
    votes,
)
from tasks.ingest.split_corpus import sentence_hash

VOTES = ("up_votes", "down_votes")
LONGEST_KEY = 64


@dataclass
class Difference:
    """rows: of the index after the release. changes: as CHANGES has them. A clip may have several."""

    rows: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)

    def note(self, change: str, row: Row, before: str = "", after: str = "") -> None:
        same = {name: row[name] for name in ("clip_sha256", "source", "speaker", "split")}
        self.changes.append(same | {"change": change, "before": before, "after": after})

    @property
    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(change["change"] for change in self.changes).items()))


def compare_release(
    before: list[Row], release: list[Row], stored: dict[str, Row], told: dict[str, Any], named: set[str]
) -> Difference:
    """before: the index of the version before. release: RELEASE_ROWS. stored: by clip, what ingest made of those that
    are new. told: of the summary of `ingest_release`. named: file names that the release has rows of and that cannot be
    used: their clips stay as they were.
    """
    made, known = Difference(), {row["clip_sha256"]: row for row in before}
    chosen, aliases = _choose(release, known)
    for row in before:
        clip = row["clip_sha256"]
        if clip in chosen:
            made.rows.append(_updated(row, chosen[clip]))
        elif told["release"]["delta"] or file_name(row["source"]) in named:
            made.rows.append(dict(row))
        else:
            made.note(RETRACTED, row)
    keys = {row["key"] for row in before}
    for clip, row in chosen.items():
        if clip in stored and clip not in known:
            made.rows.append(_added(stored[clip], row, keys, told["release"]["name"]))
    for row in made.rows:
        row["aliases"] = sorted({*row["aliases"], *aliases.get(row["clip_sha256"], ())})
    _place(made.rows, before, told["division"])
    for row in made.rows:
        _note_changes(made, row, known.get(row["clip_sha256"]))
    return made


def compare_versions(before: list[Row], after: list[Row]) -> Difference:
    """What the rows of one version have that those of another have not."""
    made, known, there = Difference(rows=after), {row["clip_sha256"]: row for row in before}, set[str]()
    for row in after:
        there.add(row["clip_sha256"])
        _note_changes(made, row, known.get(row["clip_sha256"]))
    for clip in known.keys() - there:
        made.note(RETRACTED, known[clip])
    return made


def file_name(source: str) -> str:
    return posixpath.basename(source)


def _choose(release: Iterable[Row], known: dict[str, Row]) -> tuple[dict[str, Row], dict[str, set[str]]]:
    """The row of each clip, that of the name it is known by where there is one, else the first; and other names."""
    chosen, names = dict[str, Row](), dict[str, set[str]]()
    for row in release:
        clip, name = row["clip_sha256"], file_name(row["source"])
        names.setdefault(clip, set()).add(name)
        old = known.get(clip)
        if clip not in chosen or (old and name == file_name(old["source"]) != file_name(chosen[clip]["source"])):
            chosen[clip] = row
    own = {clip: file_name((known.get(clip) or row)["source"]) for clip, row in chosen.items()}
    return chosen, {clip: found - {own[clip]} for clip, found in names.items()}


def _updated(row: Row, said: Row) -> Row:
    same = {name: said[name] for name in ("text", "speaker", "tags", "side", "divided")}
    return row | same | {"example_sha256": example_sha256(row["clip_sha256"], said["text"])}


def _added(stored: Row, said: Row, keys: set[str], release: str) -> Row:
    key = stored["key"]
    if key in keys:  # another clip of a release before had the same name
        key = f"{key[:LONGEST_KEY]}-{said['clip_sha256'][:16]}"
    keys.add(key)
    same = {name: said[name] for name in ("clip_sha256", "side", "divided")}
    digest = example_sha256(said["clip_sha256"], said["text"])
    return stored | same | {"key": key, "example_sha256": digest, "aliases": [], "release": release}


def _place(rows: list[Row], before: list[Row], division: dict[str, Any]) -> None:
    """The split of each row: its side, unless our division made that, and another side keeps its sentence."""
    if not any(row["divided"] for row in rows):
        for row in rows:
            row["split"] = row["side"]
        return
    sentences = [sentence_hash(row["text"]) for row in rows]
    measured = {sentence_hash(row["text"]): row["split"] for row in before if row["split"] in {"dev", "test"}}
    sides = [(row["side"], s, row["divided"]) for row, s in zip(rows, sentences, strict=True)]
    for row, split in zip(rows, settle_sentences(sides, measured, division["shares"], division["seed"]), strict=True):
        row["split"] = split


def _note_changes(made: Difference, row: Row, old: Row | None) -> None:
    if old is None:
        made.note(NEW, row)
    else:
        if row["text"] != old["text"]:
            made.note(TEXT_CHANGED, row, old["text"], row["text"])
        if row["split"] != old["split"]:
            made.note(MOVED, row, old["split"], row["split"])
        same = row["tags"] == old["tags"]
        if not same and (counted := votes(row["tags"])) != (were := votes(old["tags"])):
            made.note(VOTES_CHANGED, row, "/".join(were), "/".join(counted))
        if row["speaker"] != old["speaker"] or (not same and _details(row) != _details(old)):
            made.note(DETAILS_CHANGED, row, old["tags"], row["tags"])
    for name in sorted({*row["aliases"]} - {*(old["aliases"] if old else ())}):
        made.note(DUPLICATE, row, file_name(row["source"]), name)


def _details(row: Row) -> dict[str, str]:
    return {name: value for name, value in json.loads(row["tags"]).items() if name not in VOTES}
