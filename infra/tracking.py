"""MLflow behind a few functions; importing it takes seconds, so it is imported at the first use.

A server that does not answer is waited for: each function may be repeated from its start without saying a thing twice.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from infra import storage
from infra.errors import UserError, redact_url
from infra.mlflow_client import client, is_outage, origin_tags, rename_params, waiting
from infra.processes import has_ended, process_mark
from infra.settings import settings

KEY_TAG, BUNDLE_TAG = "scriptorium.key", "scriptorium.bundle"
PROCESS_TAG, FAILURE_TAG = "scriptorium.process", "failure"
KIND_TAG = {"mlflow.experimentKind": "custom_model_development"}  # the UI shows runs and models, not agents'
TRAINING_VIEW = "workflowType=machine_learning"  # the same to MLflow 3.17, which asks the address and not the tag
DATA_TAG = "scriptorium.data"  # the digest of what a run measured its model on (of several splits, on the first)
BUNDLE_FOLDER = "bundle"
CHUNK = 1000  # metrics in one request, the most the server takes
PARAMETERS_AT_ONCE = 100  # the same for parameters and tags
LONGEST_DIGEST = 36  # characters, the same for a dataset's digest; the tag beside it holds it whole
LONGEST_TITLE = 500  # characters, the same for a dataset's name
LONGEST_NAME = 255  # characters, the most an alias has, and one less than a column of a model's name
LONGEST_PARAMETER = 6000  # characters, the most MLflow keeps


@waiting
def open_run(key: str, name: str, tags: dict[str, str]) -> str:
    """The run of this key, made if there is none, marked as running, with where it comes from; its id."""
    from mlflow.entities import RunTag

    mlflow, told = client(), origin_tags() | {PROCESS_TAG: process_mark()} | tags
    _close_lost_runs(mlflow)
    if found := _find_run(mlflow, key):
        run_id = found.info.run_id
        mlflow.update_run(run_id, "RUNNING")
        if FAILURE_TAG in found.data.tags:
            mlflow.delete_tag(run_id, FAILURE_TAG)
    else:
        made = mlflow.create_run(_experiment(mlflow), tags={KEY_TAG: key}, run_name=redact_url(name))
        run_id = made.info.run_id
    mlflow.log_batch(run_id, tags=[RunTag(tag, redact_url(value)) for tag, value in told.items()])
    return run_id


def _find_run(mlflow: Any, key: str) -> Any:
    return next(iter(mlflow.search_runs([_experiment(mlflow)], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)), None)


def _close_lost_runs(mlflow: Any) -> None:
    """Runs of this place whose process was killed, and could not say so, are still called running."""
    for run in mlflow.search_runs([_experiment(mlflow)], "attributes.status = 'RUNNING'"):
        if has_ended(run.data.tags.get(PROCESS_TAG, "")):
            _finish(mlflow, run.info.run_id, "KILLED", "its process ended without a word")


@waiting
def find_run(key: str) -> tuple[str, str]:
    """The id of the run of a key, and the digest of the bundle that it holds; "" for none."""
    found = _find_run(client(), key)
    return (found.info.run_id, found.data.tags.get(BUNDLE_TAG, "")) if found else ("", "")


@waiting
def run_page(run_id: str, file: str = "") -> str:
    """Where a browser finds a run, or a file of it, "" where MLflow is no server."""
    place = urlsplit(settings().mlflow_page or settings().tracking_uri)
    if not place.scheme.startswith("http"):
        return ""
    experiment = client().get_run(run_id).info.experiment_id
    site = place._replace(netloc=place.netloc.rpartition("@")[2], path=place.path.rstrip("/"), query="")  # no password
    inner = f"{run_id}/artifacts/{file}" if file else run_id
    return f"{urlunsplit(site)}/#/experiments/{experiment}/runs/{inner}?{TRAINING_VIEW}"


def run_key_for(key: str, bundle: str) -> str:
    """The key of the run that is to hold a bundle: the training's own, or where that holds another one, a new run's.

    One training can be published with several searches, and what was registered stays as it was.
    """
    held = find_run(key)[1]
    return key if held in {"", bundle} else f"{key}-{bundle}"


class RecordedRun(NamedTuple):
    """started, ended: milliseconds since 1970, ended 0 while it goes on."""

    run_id: str
    name: str
    started: int
    ended: int
    tags: dict[str, str]


@waiting
def find_runs(tag: str, value: str) -> list[RecordedRun]:
    """The runs of our experiment with this tag, the latest first."""
    mlflow = client()
    runs, page = list[RecordedRun](), None
    while page != "":
        found = mlflow.search_runs(
            [_experiment(mlflow)],
            f"tags.`{tag}` = '{value}'",
            max_results=CHUNK,
            order_by=["attributes.start_time DESC"],
            page_token=page,
        )
        for run in found:
            info = run.info
            times = (info.start_time or 0, info.end_time or 0)
            runs.append(RecordedRun(info.run_id, info.run_name or "", *times, dict(run.data.tags)))
        page = found.token or ""
    return runs


@waiting
def set_tag(run_id: str, tag: str, value: str) -> None:
    client().set_tag(run_id, tag, value)


@waiting
def log_params(run_id: str, params: dict[str, Any]) -> None:
    """Parameters as text. MLflow never changes one, so a value that differs from an earlier one becomes a tag."""
    from mlflow.entities import Param, RunTag

    held = client().get_run(run_id).data.params
    told = {name: redact_url(str(value))[:LONGEST_PARAMETER] for name, value in rename_params(sorted(params.items()))}
    rows = [Param(name, value) for name, value in told.items() if name not in held]
    for i in range(0, len(rows), PARAMETERS_AT_ONCE):
        client().log_batch(run_id, params=rows[i : i + PARAMETERS_AT_ONCE])
    changed = [RunTag(name, value) for name, value in told.items() if held.get(name, value) != value]
    for i in range(0, len(changed), PARAMETERS_AT_ONCE):
        client().log_batch(run_id, tags=changed[i : i + PARAMETERS_AT_ONCE])


@waiting
def log_metrics(run_id: str, rows: Sequence[tuple[str, float, int]]) -> None:
    """Rows of (name, value, step), in batches. A row that the run has already is not sent again."""
    from mlflow.entities import Metric

    given, now = [(name, float(value), int(step)) for name, value, step in rows], int(time.time() * 1000)
    held = {
        (name, metric.step): metric.value
        for name in {name for name, _, _ in given}
        for metric in client().get_metric_history(run_id, name)
    }
    metrics = [Metric(name, value, now, step) for name, value, step in given if held.get((name, step)) != value]
    for i in range(0, len(metrics), CHUNK):
        client().log_batch(run_id, metrics=metrics[i : i + CHUNK])


@waiting
def log_dataset(run_id: str, name: str, digest: str, uri: str, title: str = "") -> None:
    """A reference to data that stays where it is. name: its kind. title: what MLflow shows, "" for the name."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind = "s3" if storage.is_s3(uri) else "local"
    shown = redact_url(title or name)[:LONGEST_TITLE]
    dataset = Dataset(shown, digest[:LONGEST_DIGEST], kind, json.dumps({"uri": redact_url(uri)}))
    client().log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", name)])])
    client().set_tag(run_id, f"digest.{name}", digest)


def log_files(run_id: str, files: Iterable[tuple[str, bytes | Path]], folder: str) -> None:
    """Files, where they lie or as bytes, uploaded one after the other into a folder of the run."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files:
            path = Path(temporary, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.symlink_to(content)
            _log_file(run_id, path, str(PurePosixPath(folder, name).parent))


@waiting
def _log_file(run_id: str, path: Path, folder: str) -> None:
    client().log_artifact(run_id, str(path), folder)


def check_registration(name: str, alias: str) -> None:
    """Raises UserError for a name or alias that MLflow refuses, or by which nothing could be found again. alias: ""
    for what the rule of infra/model_registry.py gives.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils import validation

    said = {"model name": name, "alias": alias or "champion"}
    for what, text in said.items():
        if not text.isprintable() or text != text.strip() or len(text) > LONGEST_NAME:
            raise UserError(f"{what} {text[:80]!r}: at most {LONGEST_NAME} printable characters without blanks around")
    if "@" in name:
        raise UserError(f"model name {name!r}: '@' stands between a name and its alias, and cannot be in a name")
    checks = {
        "model name": (validation._validate_model_name,),
        "alias": (validation._validate_model_alias_name, validation._validate_model_alias_name_reserved),
    }
    for what, validators in checks.items():
        try:
            for validate in validators:
                validate(said[what])
        except MlflowException as error:
            raise UserError(f"{what} {said[what]!r}: {error.message.splitlines()[0]}") from error


def register(run_id: str, name: str, tags: dict[str, str]) -> str:
    """The run's bundle as a new version of a registered model; the version. One that has these tags already is of a
    process that died before it could say so, and is not made again.
    """
    before = run_versions(run_id, name)
    return _find_tagged(name, before, tags) or _register(run_id, name, tags, before)


@waiting
def _find_tagged(name: str, versions: set[str], tags: dict[str, str]) -> str:
    """The latest of these versions that has all of the tags, "" for none, and where there are no tags."""
    for version in sorted(versions, key=int, reverse=True) if tags else ():
        if tags.items() <= dict(client().get_model_version(name, version).tags).items():
            return version
    return ""


@waiting
def run_versions(run_id: str, name: str) -> set[str]:
    """The versions of a registered model that a run made."""
    found = client().search_model_versions(f"run_id = '{run_id}'")  # a name may hold quotes
    return {str(version.version) for version in found if version.name == name}


@waiting
def _register(run_id: str, name: str, tags: dict[str, str], before: set[str]) -> str:
    """before: the versions that were this run's. One that is not among them is of a try whose answer was lost."""
    from mlflow.exceptions import MlflowException

    mlflow = client()
    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    if made := run_versions(run_id, name) - before:
        return max(made, key=int)
    source = f"runs:/{run_id}/{BUNDLE_FOLDER}"
    return str(mlflow.create_model_version(name, source, run_id, tags=tags).version)


@waiting
def find_version(name: str, alias_or_version: str) -> str:
    """The version of a registered model by its alias or number, "" for none."""
    from mlflow.exceptions import MlflowException

    mlflow = client()
    found = mlflow.get_model_version if alias_or_version.isdigit() else mlflow.get_model_version_by_alias
    try:
        return str(found(name, alias_or_version).version)
    except MlflowException as error:
        if is_outage(error):
            raise
        return ""


@waiting
def finish(run_id: str, status: str, reason: str = "") -> None:
    """status: FINISHED, FAILED or KILLED. reason: in a line, of one that failed."""
    _finish(client(), run_id, status, reason)


def _finish(mlflow: Any, run_id: str, status: str, reason: str) -> None:
    if reason:
        mlflow.set_tag(run_id, FAILURE_TAG, redact_url(reason)[:LONGEST_PARAMETER])
    mlflow.set_terminated(run_id, status)


def _experiment(client: Any) -> str:
    name = settings().experiment
    if found := client.get_experiment_by_name(name):
        for tag, value in KIND_TAG.items():
            if tag not in found.tags:  # made by an earlier version, or by hand
                client.set_experiment_tag(found.experiment_id, tag, value)
        return found.experiment_id
    from mlflow.exceptions import MlflowException

    served = settings().tracking_uri.startswith("http")
    place = None if served else storage.join(settings().root, "mlflow")  # a server has a place of its own
    try:
        return client.create_experiment(name, artifact_location=place, tags=KIND_TAG)
    except MlflowException:  # made by another process just now
        found = client.get_experiment_by_name(name)
        if not found:
            raise
        return found.experiment_id
