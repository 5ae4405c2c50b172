"""MLflow behind a few functions; importing it takes seconds, so it is imported at the first use."""

import json
import logging
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from infra import s3_client, storage
from infra.errors import UserError
from infra.settings import redact_url, set_defaults, settings

KEY_TAG, BUNDLE_TAG = "scriptorium.key", "scriptorium.bundle"
BUNDLE_FOLDER = "bundle"
CHUNK = 1000  # metrics in one request, the most the server takes
PARAMETERS_AT_ONCE = 100  # the same for parameters and tags
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LONGEST_DIGEST = 36  # characters, the same for a dataset's digest; the tag beside it holds it whole
LONGEST_PARAMETER = 6000  # characters, the most MLflow keeps


def open_run(key: str, name: str, tags: dict[str, str]) -> str:
    """The run of this key, made if there is none, marked as running; its id."""
    with _named_errors():
        client = _client()
        experiment = _experiment(client)
        found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
            client.update_run(run_id, "RUNNING")
        else:
            run_id = client.create_run(experiment, tags={KEY_TAG: key}, run_name=redact_url(name)).info.run_id
        for tag, value in tags.items():
            client.set_tag(run_id, tag, redact_url(value))
    return run_id


def run_key_for(key: str, bundle: str) -> str:
    """The key of the run that is to hold a bundle: the training's own, or where that holds another one, a new run's.

    One training can be published with several searches, and what was registered stays as it was.
    """
    with _named_errors():
        client = _client()
        found = client.search_runs([_experiment(client)], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    held = found[0].data.tags.get(BUNDLE_TAG, bundle) if found else bundle
    return key if held == bundle else f"{key}-{bundle}"


def log_params(run_id: str, params: dict[str, Any]) -> None:
    """Parameters as text. MLflow never changes one, so a value that differs from an earlier one becomes a tag."""
    from mlflow.entities import Param, RunTag

    with _named_errors():
        held = _client().get_run(run_id).data.params
        told = {name: redact_url(str(value))[:LONGEST_PARAMETER] for name, value in sorted(params.items())}
        rows = [Param(name, value) for name, value in told.items() if name not in held]
        for i in range(0, len(rows), PARAMETERS_AT_ONCE):
            _client().log_batch(run_id, params=rows[i : i + PARAMETERS_AT_ONCE])
        changed = [RunTag(name, value) for name, value in told.items() if held.get(name, value) != value]
        for i in range(0, len(changed), PARAMETERS_AT_ONCE):
            _client().log_batch(run_id, tags=changed[i : i + PARAMETERS_AT_ONCE])


def log_metrics(run_id: str, rows: Iterable[tuple[str, float, int]]) -> None:
    """Rows of (name, value, step), in batches. A row that the run has already is not sent again."""
    from mlflow.entities import Metric

    given, now = [(name, float(value), int(step)) for name, value, step in rows], int(time.time() * 1000)
    with _named_errors():
        held = {
            (name, metric.step): metric.value
            for name in {name for name, _, _ in given}
            for metric in _client().get_metric_history(run_id, name)
        }
        metrics = [Metric(name, value, now, step) for name, value, step in given if held.get((name, step)) != value]
        for i in range(0, len(metrics), CHUNK):
            _client().log_batch(run_id, metrics=metrics[i : i + CHUNK])


def log_dataset(run_id: str, name: str, digest: str, uri: str) -> None:
    """A reference to data that stays where it is."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    kind = "s3" if storage.is_s3(uri) else "local"
    dataset = Dataset(name, digest[:LONGEST_DIGEST], kind, json.dumps({"uri": redact_url(uri)}))
    with _named_errors():
        _client().log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", name)])])
        _client().set_tag(run_id, f"digest.{name}", digest)


def log_files(run_id: str, files: Iterable[tuple[str, bytes | Path]], folder: str) -> None:
    """Files, where they lie or as bytes, uploaded one after the other into a folder of the run."""
    with tempfile.TemporaryDirectory() as temporary, _named_errors():
        for name, content in files:
            path = Path(temporary, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.symlink_to(content)
            _client().log_artifact(run_id, str(path), str(PurePosixPath(folder, name).parent))


def register(run_id: str, name: str, alias: str, tags: dict[str, str]) -> str:
    """The run's bundle as a new version of a registered model, which the alias then names; the version."""
    from mlflow.exceptions import MlflowException

    with _named_errors():
        client = _client()
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"runs:/{run_id}/{BUNDLE_FOLDER}"
        version = str(client.create_model_version(name, source, run_id, tags=tags).version)
        client.set_registered_model_alias(name, alias, version)
    return version


def resolve_model(model: str) -> str:
    """`NAME@ALIAS` or `NAME/VERSION` as the path of the downloaded bundle; a path or URI of a bundle as it is."""
    if storage.is_s3(model):
        return model
    if Path(model).is_dir():
        return str(Path(model).absolute())
    if "@" not in model and "/" not in model:
        raise UserError(f"model {model!r}: write NAME@ALIAS, NAME/VERSION or the path of a bundle")
    with _named_errors():
        run_id = _registered(model)
        return _downloaded(model, run_id)


class RegisteredVersion(NamedTuple):
    """A version of a registered model. digests: of what it was made with, by kind."""

    name: str
    version: str
    run_id: str
    digests: dict[str, str]


def registered_versions() -> list[RegisteredVersion]:
    """Every version of every model, whether or not an alias names it. Raises UserError where there is no registry."""
    place = settings().tracking_uri
    if place.startswith("sqlite:///") and not Path(place.removeprefix("sqlite:///")).is_file():
        raise UserError(
            f"no MLflow record at {redact_url(place)} (MLFLOW_TRACKING_URI): no way to ask what is registered"
        )
    found, page = [], None
    with _named_errors():
        client = _client()
        while page != "":
            rows = client.search_model_versions(max_results=CHUNK, page_token=page)
            for row in rows:
                tags = (run_tags(row.run_id) or {}) if row.run_id else {}
                told = {
                    name.removeprefix("digest."): value for name, value in tags.items() if name.startswith("digest.")
                }
                told |= {"bundle": tags[BUNDLE_TAG]} if BUNDLE_TAG in tags else {}
                found.append(RegisteredVersion(row.name, str(row.version), row.run_id or "", told | dict(row.tags)))
            page = rows.token or ""
    return found


def run_tags(run_id: str) -> dict[str, str] | None:
    """None where this record does not know the run; a deleted run it still knows."""
    from mlflow.exceptions import MlflowException

    with _named_errors():
        try:
            return dict(_client().get_run(run_id).data.tags)
        except MlflowException as error:
            if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            return None


def finish(run_id: str, status: str) -> None:
    """status: FINISHED, FAILED or KILLED."""
    with _named_errors():
        _client().set_terminated(run_id, status)


def _registered(model: str) -> str:
    """The run that made a registered version. Raises UserError that lists what there is."""
    from mlflow.exceptions import MlflowException

    client = _client()
    try:
        if "@" in model:
            return client.get_model_version_by_alias(*model.split("@", 1)).run_id
        return client.get_model_version(*model.rsplit("/", 1)).run_id
    except MlflowException as error:
        if _is_away(error):
            raise
        known = [f"{m.name}@{alias}" for m in client.search_registered_models() for alias in m.aliases]
        there = f"there are {', '.join(known)}" if known else "none is registered yet"
        place = redact_url(settings().tracking_uri)
        raise UserError(f"model {model!r}: not a folder and not registered at {place}; {there}") from error


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


def _client() -> Any:
    return _client_of(settings().tracking_uri)


@cache
def _client_of(uri: str) -> Any:
    set_defaults(ENVIRONMENT)
    if settings().s3_endpoint:
        set_defaults(s3_client.OTHER_SERVERS)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient, set_tracking_uri
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # how it makes its tables concerns nobody
    set_tracking_uri(uri)
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(_away(uri, error)) from error
    return client


def _away(uri: str, error: Exception) -> str:
    reason = redact_url(str(error).splitlines()[0], uri)[:200]
    return f"no MLflow answers at {redact_url(uri)} (MLFLOW_TRACKING_URI): {reason}"


def _is_away(error: Exception) -> bool:
    return "API request to" in str(error)  # MLflow has no class of its own for a server that does not answer


@contextmanager
def _named_errors() -> Iterator[None]:
    """A server that has gone as a line that says which."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not _is_away(error):
            raise
        raise UserError(_away(settings().tracking_uri, error)) from error
