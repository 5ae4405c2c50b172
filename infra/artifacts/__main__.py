"""What lies in the artifact store, what made it and what needs it, and how to be rid of what nothing needs.

    python -m infra.artifacts list                      kind, digest, size, age, what made it, what needs it
    python -m infra.artifacts remove DIGEST...          refused where a registered model or another artifact needs one
    python -m infra.artifacts collect [--days 30]       what no registered model and no recent result needs

A result is needed with all that it was made from. Nothing that a version of a registered model needs is ever removed,
aliased or not, nor what the store says is registered in another registry; where the registry cannot be asked, nothing
is. Run it while no other command is at work on the store.
"""

import argparse
import json
import re
import sys
import time
from typing import Any

from infra import storage
from infra.artifact_store import DRAFTS
from infra.artifacts.inventory import Inventory, StoredArtifact, StoredDraft, mark_registered, take_inventory
from infra.artifacts.manifest import MANIFEST
from infra.errors import UserError, one_line_errors, redact_url
from infra.settings import settings

SHORTEST = 4  # digits of a digest that name an artifact
DAY = 86400.0


def describe(found: Inventory) -> list[dict[str, Any]]:
    """A row for each artifact and draft, the largest first."""
    needed, now = found.registered(), time.time()
    rows = [
        {
            "kind": one.name[0],
            "digest": one.name[1],
            "bytes": one.size,
            "age_days": round((now - one.made) / DAY, 2),
            "made_by": ", ".join(sorted(one.steps)),
            "needed_by": [needed[name] for name in {one.name} & needed.keys()]
            + sorted(map(str, found.dependents(one.name))),
            "state": "whole" if one.whole else "unfinished",
        }
        for one in found.artifacts.values()
    ]
    rows += [
        {"kind": "draft", "digest": draft.name, "bytes": draft.size, "age_days": round((now - draft.changed) / DAY, 2),
         "made_by": "", "needed_by": [], "state": "draft"}
        for draft in found.drafts.values()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: -row["bytes"])


def remove(found: Inventory, wanted: list[str]) -> list[StoredArtifact]:
    """Raises UserError, with nothing removed, for what there is not and for what is needed."""
    chosen = {one.name: one for text in wanted for one in [_chosen(found, text)]}
    needed = found.registered()
    for one in chosen.values():
        if one.name in needed:
            raise UserError(f"{one}: the registered {needed[one.name]} needs it; nothing was removed")
        if others := [other for other in found.dependents(one.name) if other.name not in chosen]:
            more = f" and {len(others) - 1} more" * (len(others) > 1)
            raise UserError(f"{one}: {others[0]}{more} was made from it; remove that as well, or nothing is removed")
    for one in chosen.values():
        delete(one)
    return list(chosen.values())


def _chosen(found: Inventory, text: str) -> StoredArtifact:
    kind, _, digest = text.rpartition("/")
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", digest):
        raise UserError(
            f"{text}: no digest of an artifact; give {SHORTEST} digits of it at least, as `list` shows them"
        )
    fits = [
        one
        for name, one in found.artifacts.items()
        if kind in {"", name[0]} and (name[1].startswith(digest) or digest.startswith(name[1]))
    ]
    if len(fits) != 1:
        several = f"{len(fits)} artifacts: {', '.join(map(str, fits[:3]))}; give more digits, or kind/digest"
        raise UserError(f"{text} names {several if fits else 'no artifact of ' + settings().root}")
    return fits[0]


def choose_unneeded(found: Inventory, days: float, draft_days: float) -> tuple[list[StoredArtifact], list[StoredDraft]]:
    """What no registered model needs, and no result made or used within so many days; drafts and unfinished artifacts
    that nobody wrote to for so long.
    """
    now = time.time()
    recent = {one.name for one in found.artifacts.values() if max(one.made, one.used) >= now - days * DAY and one.whole}
    kept = found.reach(recent) | found.registered().keys()
    gone = [one for name, one in found.artifacts.items() if name not in kept]
    old = now - draft_days * DAY
    return [one for one in gone if one.whole or one.made < old], [d for d in found.drafts.values() if d.changed < old]


def delete(one: StoredArtifact) -> None:
    """The manifest first: killed anywhere in here, what is left is no artifact, and the next `collect` ends it."""
    place = storage.join(settings().root, *one.name)
    storage.remove(storage.join(place, MANIFEST))
    storage.remove(place)
    for note in one.notes:
        storage.remove(note)


def collect(found: Inventory, days: float, draft_days: float, *, dry_run: bool) -> list[dict[str, Any]]:
    """Rows of what was removed, or would be."""
    artifacts, drafts = choose_unneeded(found, days, draft_days)
    rows = describe(Inventory({one.name: one for one in artifacts}, {draft.name: draft for draft in drafts}))
    if not dry_run:
        for one in artifacts:
            delete(one)
        for draft in drafts:
            storage.remove(storage.join(settings().root, DRAFTS, draft.name))
    return rows


def main() -> None:
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="a JSON list of objects")
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m infra.artifacts", description=__doc__, formatter_class=style)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", parents=[shown], help="what there is, the largest first")
    removing = verbs.add_parser("remove", parents=[shown], help="these artifacts")
    removing.add_argument("digests", nargs="+", metavar="DIGEST", help="or KIND/DIGEST, the first digits of it")
    collecting = verbs.add_parser("collect", parents=[shown], help="what nothing needs")
    collecting.add_argument(
        "--days", type=_days, default=30.0, help="results made or used since then stay (%(default)g)"
    )
    collecting.add_argument("--drafts-older-than", type=_days, default=7.0, metavar="DAYS", help="(%(default)g)")
    collecting.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    given = parser.parse_args()
    with one_line_errors():
        found = take_inventory()
        try:
            mark_registered(found)
        except UserError as problem:
            if given.verb != "list":
                raise UserError(f"{problem}; nothing is removed") from problem
            print(f"scriptorium: {redact_url(str(problem))}; models are left out", file=sys.stderr)
        if given.verb == "list":
            rows = describe(found)
        elif given.verb == "remove":
            gone = {one.name: one for one in remove(found, given.digests)}
            rows = describe(Inventory(gone, {}))
        else:
            rows = collect(found, given.days, given.drafts_older_than, dry_run=given.dry_run)
    print(json.dumps(rows, ensure_ascii=False) if given.json else as_table(rows, given.verb))


def _days(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"days, not {text!r}")
    return float(text)


def as_table(rows: list[dict[str, Any]], verb: str) -> str:
    lines = []
    names = [f"{row['kind']}/{row['digest']}" for row in rows]
    width = max(map(len, names), default=0)
    for name, row in zip(names, rows, strict=True):
        needed = ", ".join(row["needed_by"][:2]) + f" and {len(row['needed_by']) - 2} more" * (
            len(row["needed_by"]) > 2
        )
        state = row["state"] if row["state"] == "unfinished" else ""
        about = filter(None, (row["made_by"], state, f"needed by {needed}" if needed else "nothing needs it"))
        size = f"{row['bytes'] / 1e6:10,.2f} MB  {row['age_days']:7.1f} days"
        lines.append(f"{name:<{width}} {size}  {'; '.join(about)}")
    total = sum(row["bytes"] for row in rows) / 1e6
    return "\n".join([*lines, f"{verb}: {len(rows)} in all, {total:,.2f} MB"])


if __name__ == "__main__":
    main()
