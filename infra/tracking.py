"""MLflow behind a few functions; importing it takes seconds, so it is imported at the first use.

A server that does not answer is waited for: each function may be repeated from its start without saying a thing twice.
"""

import json
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from infra import storage
from infra.errors import UserError, redact_url
from infra.mlflow_client import client, is_outage, waiting
from infra.settings import settings

KEY_TAG, BUNDLE_TAG = "scriptorium.key", "scriptorium.bundle"
BUNDLE_FOLDER = "bundle"
CHUNK = 1000  # metrics in one request, the most the server takes
PARAMETERS_AT_ONCE = 100  # the same for parameters and tags
LONGEST_DIGEST = 36  # characters, the same for a dataset's digest; the tag beside it holds it whole
LONGEST_NAME = 255  # characters, the most an alias has, and one less than a column of a model's name
LONGEST_PARAMETER = 6000  # characters, the most MLflow keeps


@waiting
def open_run(key: str, name: str, tags: dict[str, str]) -> str:
    """The run of this key, made if there is none, marked as running; its id."""
    mlflow = client()
    experiment = _experiment(mlflow)
    found = mlflow.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        mlflow.update_run(run_id, "RUNNING")
    else:
        run_id = mlflow.create_run(experiment, tags={KEY_TAG: key}, run_name=redact_url(name)).info.run_id
    for tag, value in tags.items():
        mlflow.set_tag(run_id, tag, redact_url(value))
    return run_id


@waiting
def run_key_for(key: str, bundle: str) -> str:
    """The key of the run that is to hold a bundle: the training's own, or where that holds another one, a new run's.

    One training can be published with several searches, and what was registered stays as it was.
    """
    mlflow = client()
    found = mlflow.search_runs([_experiment(mlflow)], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    held = found[0].data.tags.get(BUNDLE_TAG, bundle) if found else bundle
    return key if held == bundle else f"{key}-{bundle}"


@waiting
def log_params(run_id: str, params: dict[str, Any]) -> None:
    """Parameters as text. MLflow never changes one, so a value that differs from an earlier one becomes a tag."""
    from mlflow.entities import Param, RunTag

    held = client().get_run(run_id).data.params
    told = {name: redact_url(str(value))[:LONGEST_PARAMETER] for name, value in sorted(params.items())}
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
def log_dataset(run_id: str, name: str, digest: str, uri: str) -> None:
    """A reference to data that stays where it is."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind = "s3" if storage.is_s3(uri) else "local"
    dataset = Dataset(name, digest[:LONGEST_DIGEST], kind, json.dumps({"uri": redact_url(uri)}))
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
    """The run's bundle as a new version of a registered model; the version."""
    before = _versions(run_id, name)
    return _register(run_id, name, tags, before)


@waiting
def _versions(run_id: str, name: str) -> set[str]:
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
    if made := _versions(run_id, name) - before:
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
def trace_bundle(digest: str) -> dict[str, Any]:
    """The run that made a bundle, the digests of what it was made of, and the versions that it is registered as; empty
    where no run of this tracking server has it.
    """
    mlflow = client()
    found = mlflow.search_runs([_experiment(mlflow)], f"tags.`{BUNDLE_TAG}` = '{digest}'", max_results=1)
    if not found:
        return {}
    run_id, tags = found[0].info.run_id, found[0].data.tags
    versions = mlflow.search_model_versions(f"run_id = '{run_id}'")
    return {
        "run_id": run_id,
        "data": {name.removeprefix("digest."): tags[name] for name in sorted(tags) if name.startswith("digest.")},
        "versions": sorted(f"{version.name}/{version.version}" for version in versions),
    }


def resolve_model(model: str) -> str:
    """`NAME@ALIAS` or `NAME/VERSION` as the path of the downloaded bundle; a path or URI of a bundle as it is."""
    if storage.is_s3(model):
        return model
    if Path(model).is_dir():
        return str(Path(model).absolute())
    if "@" not in model and "/" not in model:
        raise UserError(f"model {model!r}: write NAME@ALIAS, NAME/VERSION or the path of a bundle")
    return _downloaded(model, _registered(model))


@waiting
def finish(run_id: str, status: str) -> None:
    """status: FINISHED, FAILED or KILLED."""
    client().set_terminated(run_id, status)


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
        there = f"there are {', '.join(known)}" if known else "none is registered yet"
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


def _experiment(client: Any) -> str:
    name = settings().experiment
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    from mlflow.exceptions import MlflowException

    served = settings().tracking_uri.startswith("http")
    place = None if served else storage.join(settings().root, "mlflow")  # a server has a place of its own
    try:
        return client.create_experiment(name, artifact_location=place)
    except MlflowException:  # made by another process just now
        found = client.get_experiment_by_name(name)
        if not found:
            raise
        return found.experiment_id
