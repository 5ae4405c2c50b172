"""Registered models: every version with its score, which one is champion and why; promote one, or go back.

    python -m infra.model_registry models [NAME] [--json]
    python -m infra.model_registry promote NAME [VERSION]
    python -m infra.model_registry rollback NAME

A new version becomes champion where there is none, or where it is better on the very same data that the champion was
measured on, test before dev. Else it is the challenger, until it is promoted.
"""

import argparse
import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from infra import storage
from infra.errors import UserError, one_line_errors, redact_url, suggest_name
from infra.mlflow_client import client, is_outage, waiting
from infra.settings import settings
from infra.tracking import BUNDLE_FOLDER, BUNDLE_TAG, find_version

CHAMPION, CHALLENGER = "champion", "challenger"
SCORE_TAG = "scriptorium.score."  # and the split: a Score as JSON
HISTORY_TAG = "scriptorium.champions"  # of a registered model: the versions that were champion, the last now
DECISION_TAG = "scriptorium.decision"  # of a version: a Decision as JSON
RATES = {"wer", "accuracy"}  # told in percent, as tables have them
SPLITS = ("test", "dev")  # the first that two versions were both measured on decides


class Score(NamedTuple):
    """metric: its name. descending: more of it is better. data: a digest of what it was measured on."""

    metric: str
    value: float
    descending: bool
    data: str

    def beats(self, other: "Score") -> bool:
        return self.value > other.value if self.descending else self.value < other.value

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.2%}" if self.metric in RATES else f"{self.metric} {self.value:.4g}"


class Decision(NamedTuple):
    """alias: what a version is called. reason: why, in words; of a challenger with the command that promotes it.
    champion: the version that it was compared with, "" for none. evidence: where to read what the decision rests on.
    """

    alias: str
    reason: str
    champion: str = ""
    evidence: str = ""


def score_tags(scores: dict[str, Score]) -> dict[str, str]:
    """What a version's tags say of its scores by split."""
    return {SCORE_TAG + split: json.dumps(score._asdict()) for split, score in scores.items()}


def read_scores(tags: dict[str, str]) -> dict[str, Score]:
    found = {
        name.removeprefix(SCORE_TAG): json.loads(told) for name, told in tags.items() if name.startswith(SCORE_TAG)
    }
    return {split: Score(**told) for split, told in found.items()}


def decide(name: str, version: str, scores: dict[str, Score]) -> Decision:
    """Whether a new version is to be champion. Changes nothing."""
    current = find_version(name, CHAMPION)
    if current in {"", version}:
        return Decision(CHAMPION, "")
    known, promote = read_scores(version_tags(name, current)), f"scriptorium promote {name} {version}"
    for split in SPLITS:
        if split in scores and split in known:
            mine, theirs = scores[split], known[split]
            if (mine.metric, mine.data) != (theirs.metric, theirs.data):
                break
            if mine.beats(theirs):
                return Decision(CHAMPION, f"better on {split} than version {current}, which has {theirs}", current)
            return Decision(CHALLENGER, f"the champion, version {current}, has {theirs} on {split}; {promote}", current)
    return Decision(CHALLENGER, f"the champion, version {current}, was measured on other data; {promote}", current)


@waiting
def apply_decision(name: str, version: str, decision: Decision) -> Decision:
    """Give the version its alias and the record of why. What is done already stays; a version whose counterpart is
    champion no more becomes the challenger at most. The decision as it was applied.
    """
    current = find_version(name, CHAMPION)
    if decision.alias == CHAMPION and current not in {decision.champion, version}:
        known = f"version {decision.champion}" if decision.champion else "none"
        changed = f"the champion is version {current or 'none'} now, and was {known} when they were compared"
        decision = decision._replace(alias=CHALLENGER, reason=f"{decision.reason}; but {changed}")
    client().set_model_version_tag(name, version, DECISION_TAG, json.dumps(decision._asdict()))
    if decision.alias == CHAMPION or current != version:
        set_alias(name, decision.alias, version)
    return decision


@waiting
def list_champions(name: str) -> list[str]:
    """The versions that are or were champion, the last now."""
    past, current = _history(name), find_version(name, CHAMPION)
    return [*(version for version in past if version != current), *filter(None, [current])]


@waiting
def version_tags(name: str, version: str) -> dict[str, str]:
    return dict(client().get_model_version(name, version).tags)


@waiting
def find_aliases(name: str, version: str) -> list[str] | None:
    """The aliases of a version, None where there is no such version."""
    if not find_version(name, version):
        return None
    return sorted(client().get_model_version(name, version).aliases)


@waiting
def set_alias(name: str, alias: str, version: str) -> None:
    """Give a version an alias; of the champion's the history is kept, and it is no challenger any more."""
    mlflow = client()
    mlflow.set_registered_model_alias(name, alias, version)
    if alias != CHAMPION:
        return
    history = [past for past in _history(name) if past != version]
    mlflow.set_registered_model_tag(name, HISTORY_TAG, ",".join([*history, version]))
    if find_version(name, CHALLENGER) == version:
        mlflow.delete_registered_model_alias(name, CHALLENGER)


@waiting
def promote(name: str, version: str = "") -> str:
    """Make a version champion, by default the challenger; the version. Raises UserError where there is none."""
    found = find_version(name, version or CHALLENGER)
    if not found:
        what = f"version {version}" if version else "challenger"
        raise UserError(f"model {name!r} has no {what}; scriptorium models {name} lists what there is")
    set_alias(name, CHAMPION, found)
    return found


@waiting
def rollback(name: str) -> str:
    """Make the champion of before champion again; its version. Raises UserError where there was none."""
    current = find_version(name, CHAMPION)
    past = [version for version in _history(name) if version != current and find_version(name, version)]
    if not past:
        raise UserError(f"model {name!r}: no champion of before; scriptorium models {name} lists what there is")
    mlflow = client()
    mlflow.set_registered_model_tag(name, HISTORY_TAG, ",".join(past))
    set_alias(name, CHAMPION, past[-1])
    return past[-1]


def _history(name: str) -> list[str]:
    found = client().search_registered_models(filter_string=f"name = '{name}'") if "'" not in name else []
    told = found[0].tags.get(HISTORY_TAG, "") if found else ""
    return [version for version in told.split(",") if version]


@waiting
def list_models(name: str = "") -> list[dict[str, Any]]:
    """A row for each version: name, version, aliases, scores by split, when it was made, its run."""
    rows = []
    for model in client().search_registered_models():
        if name in {"", model.name}:
            for version in client().search_model_versions(f"name = '{model.name}'"):
                named = sorted(alias for alias, of in model.aliases.items() if str(of) == str(version.version))
                scores = {split: score._asdict() for split, score in read_scores(dict(version.tags)).items()}
                made = datetime.fromtimestamp(version.creation_timestamp / 1000).isoformat(" ", "minutes")
                row = {"name": model.name, "version": str(version.version), "aliases": named, "scores": scores}
                rows.append(row | {"made": made, "run_id": version.run_id})
    return sorted(rows, key=lambda row: (row["name"], int(row["version"])))


@waiting
def trace_bundle(digest: str) -> dict[str, Any]:
    """The run that made a bundle, the digests of what it was made of, and the versions that it is registered as; empty
    where no run of this tracking server has it.
    """
    mlflow = client()
    experiments = [found.experiment_id for found in mlflow.search_experiments()]
    found = mlflow.search_runs(experiments, f"tags.`{BUNDLE_TAG}` = '{digest}'", max_results=1)
    if not found:
        return {}
    run_id, tags = found[0].info.run_id, found[0].data.tags
    versions = mlflow.search_model_versions(f"run_id = '{run_id}'")
    return {
        "run_id": run_id,
        "data": {name.removeprefix("digest."): tags[name] for name in sorted(tags) if name.startswith("digest.")},
        "versions": sorted(f"{version.name}/{version.version}" for version in versions),
    }


def split_models(model: str) -> list[str]:
    """The models that a text with commas names; a folder whose name has one is one model. Raises UserError for a comma
    with no name beside it, which would be this folder.
    """
    if "," not in model or Path(model).is_dir():
        return [model]
    names = [name.strip() for name in model.split(",")]
    if not all(names):
        raise UserError(f"model {model!r}: a comma without a model beside it; write A@champion,B@champion")
    return names


def resolve_model(model: str) -> str:
    """`NAME@ALIAS` or `NAME/VERSION` as the path of the downloaded bundle; a path or URI of a bundle as it is."""
    if storage.is_s3(model):
        return model
    if Path(model).is_dir():
        return str(Path(model).absolute())
    if "@" not in model and not re.fullmatch(r"[^/]+/\d+", model):
        problem = "there is no such folder; " if "/" in model else ""
        raise UserError(f"model {model!r}: {problem}write NAME@ALIAS, NAME/VERSION or the path of a bundle")
    return _downloaded(model, _registered(model))


@waiting
def _registered(model: str) -> str:
    """The run that made a registered version. Raises UserError that lists what there is."""
    from mlflow.exceptions import MlflowException

    mlflow = client()
    try:
        if "@" in model:
            return mlflow.get_model_version_by_alias(*model.split("@", 1)).run_id
        return mlflow.get_model_version(*model.rsplit("/", 1)).run_id
    except MlflowException as error:
        if is_outage(error):
            raise
        known = [f"{m.name}@{alias}" for m in mlflow.search_registered_models() for alias in m.aliases]
        names, wanted = {one.partition("@")[0] for one in known}, re.split("[@/]", model)[0]
        guess = f"{near} " if wanted not in names and (near := suggest_name(wanted, names, "")) else ""
        there = f"{guess}there are {', '.join(known)}" if known else "none is registered yet"
        place = redact_url(settings().tracking_uri)
        raise UserError(f"model {model!r}: not a folder and not registered at {place}; {there}") from error


@waiting
def _downloaded(model: str, run_id: str) -> str:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if not re.fullmatch("[A-Za-z0-9_-]+", run_id or ""):  # a server's word, which becomes a folder
        raise UserError(f"model {model!r}: its run has a name that is none ({ascii(run_id)[:60]}); register it again")
    target = Path(settings().cache_folder) / "models" / run_id
    target.mkdir(parents=True, exist_ok=True)
    uri = f"runs:/{run_id}/{BUNDLE_FOLDER}"
    try:
        return download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=settings().tracking_uri)
    except (MlflowException, OSError) as error:
        if is_outage(error):
            raise
        reason = redact_url(str(error).splitlines()[0], settings().tracking_uri)[:200]
        raise UserError(f"model {model!r} is registered, but {uri} cannot be fetched: {reason}") from error


def text_table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return f"no model is registered at {redact_url(settings().tracking_uri)}"
    lines = [f"{'model':<24}{'version':>8}  {'alias':<22}{'made':<18}scores"]
    for row in rows:
        scores = ", ".join(f"{split} {Score(**told)}" for split, told in row["scores"].items())
        aliases = ", ".join(row["aliases"])
        lines.append(f"{row['name']:<24}{row['version']:>8}  {aliases:<22}{row['made']:<18}{scores}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog=sys.argv[0].split()[0], description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    act = parser.add_subparsers(dest="act", required=True)
    for name, words in (("models", "every version"), ("promote", "make champion"), ("rollback", "the one of before")):
        one = act.add_parser(name, help=words)
        one.add_argument("name", metavar="NAME", nargs="?" if name == "models" else None, default="")
        if name == "promote":
            one.add_argument("version", metavar="VERSION", nargs="?", default="", help="by default the challenger")
        one.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with one_line_errors():
        if given.act == "models":
            rows = list_models(given.name)
            print(json.dumps(rows) if given.json else text_table(rows))
            return
        version = promote(given.name, given.version) if given.act == "promote" else rollback(given.name)
        told = {"name": given.name, "version": version, "alias": CHAMPION}
        print(json.dumps(told) if given.json else f"{given.name}@{CHAMPION} is version {version}")


if __name__ == "__main__":
    main()
