"""A data set that grows release by release: what is new, what changed, who withdrew. No clip is ingested twice.

    scriptorium dataset add cv-fa --corpus commonvoice:/data/cv-corpus-17.0-2024-03-15/fa
    scriptorium dataset add cv-fa --corpus commonvoice:/data/cv-corpus-18.0-delta-2024-06-14.tar.gz
    scriptorium dataset log cv-fa
    scriptorium dataset diff cv-fa 1 2
    scriptorium dataset show cv-fa

A version is an immutable list over the shards of all its releases; one that was trained on stays as it was.
"""

import json
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from typing import Any

from flows.command_line.parsers import PARSERS
from flows.ingest import SpeechIngest
from flows.shared.command_line import GOES_ON
from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.processes import end_orphans
from tasks.corpora.corpus_uri import parse_corpus
from tasks.datasets.dataset_head import find_version, list_datasets, update_dataset
from tasks.datasets.release import find_release
from tasks.datasets.release_difference import compare_versions
from tasks.datasets.trained_models import models_to_retrain
from tasks.datasets.version_index import describe_version, list_versions, read_changes, read_version

SHOWN = 20  # changes of each kind in a table; --json has all


def add(given: Namespace) -> dict[str, Any]:
    from prefect import flow  # a refused command need not wait for it

    place = parse_corpus(given.corpus)
    release = replace(
        find_release(place, delta=given.delta), locale=given.locale, retracted_budget=given.retracted_budget
    )
    options = override(SpeechIngest(), given.settings).ingest
    made = flow(name="dataset-add")(update_dataset)(given.name, release, options)
    return show_version(made.version) | {"changed": made.changed, "told": made.told}


def log(given: Namespace) -> list[dict[str, Any]]:
    names = [given.name] if given.name else list_datasets()
    return [
        {"name": name, "digest": one.digest} | _facts(describe_version(one))
        for name in names
        for one in list_versions(find_version(name))
    ]


def diff(given: Namespace) -> list[dict[str, str]]:
    if len(given.versions) > 2:
        raise UserError("dataset diff compares two versions, or one with the one before it")
    versions = [find_version(given.name, text) for text in given.versions] or [find_version(given.name)]
    if len(versions) == 1:
        return read_changes(versions[0])
    return compare_versions(*map(read_version, versions)).changes


def show_version(version: Artifact) -> dict[str, Any]:
    told: dict[str, Any] = {"artifact": str(version), "digest": version.digest, "models_trained_on_retracted": []}
    try:
        told["models_trained_on_retracted"] = [model._asdict() for model in models_to_retrain(version)]
    except UserError as problem:  # of the registry; the data set itself is there
        told["told"] = str(problem)
    return told | _facts(describe_version(version))


def _facts(about: dict[str, Any]) -> dict[str, Any]:
    names = ("number", "parent", "release", "splits", "changes", "retracted_speakers")
    return {name: about[name] for name in names}


def versions_table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no data set is there yet: scriptorium dataset add NAME --corpus KIND:URI makes one"
    lines = [f"{'data set':<16}{'version':>8}  {'digest':<18}{'release':<32}{'rows':<34}changes"]
    for row in rows:
        splits = ", ".join(f"{split} {count:,}" for split, count in row["splits"].items())
        changes = ", ".join(f"{count:,} {kind}" for kind, count in row["changes"].items())
        place = f"{row['number']:>8}  {row['digest'][:16]:<18}{row['release']['name']:<32}"
        lines.append(f"{row.get('name', ''):<16}{place}{splits:<34}{changes}")
    return "\n".join(lines)


def changes_table(rows: list[dict[str, str]]) -> str:
    lines = []
    for kind, count in Counter(row["change"] for row in rows).items():
        lines.append(f"{count:,} {kind}")
        for row in [row for row in rows if row["change"] == kind][:SHOWN]:
            told = f": {row['before']} -> {row['after']}" if row["before"] or row["after"] else ""
            lines.append(f"    {row['split'] or 'left out':<9}{row['source']}{told}")
    return "\n".join(lines) or "nothing"


def version_table(told: dict[str, Any]) -> str:
    lines = [f"{told['artifact']}: version {told['number']}, release {told['release']['name']}"]
    lines += [f"{split:<12}{count:>10,}" for split, count in told["splits"].items()]
    lines += [f"{kind:<18}{count:>10,}" for kind, count in told["changes"].items()]
    lines += [f"withdrew          {speaker}" for speaker in told["retracted_speakers"]]
    for model in told["models_trained_on_retracted"]:
        clips = "data no longer there" if model["clips"] is None else f"{model['clips']:,} clips"
        lines.append(f"trained on what was withdrawn: {model['name']} version {model['version']} ({clips})")
    return "\n".join([*lines, *filter(None, [told.get("told")])])


TABLES = {"add": (add, version_table), "log": (log, versions_table), "diff": (diff, changes_table)}
TABLES |= {"show": (lambda given: show_version(find_version(given.name, given.version)), version_table)}


def main() -> None:
    given = PARSERS["flows.dataset"]().parse_args()
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    with one_line_errors(interrupted=GOES_ON):
        run, table = TABLES[given.verb]
        told = run(given)
        print(json.dumps(told, ensure_ascii=False) if given.json else table(told))


if __name__ == "__main__":
    main()
