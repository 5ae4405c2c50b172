"""MLflow behind a few functions; importing it takes seconds, so it is imported at the first use."""

import json
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from infra import storage
from infra.problem import Problem
from infra.settings import set_defaults, settings, without_password

KEY_TAG = "scriptorium.key"
BUNDLE_FOLDER = "bundle"
CHUNK = 1000  # metrics in one request, the most the server takes
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LONGEST_PARAMETER = 6000  # characters, the most MLflow keeps


def open_run(key: str, name: str, tags: dict[str, str]) -> str:
    """The run of this key, made if there is none, marked as running; its id."""
    client = _client()
    experiment = _experiment(client)
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    if found:
        run_id = found[0].info.run_id
        client.set_terminated(run_id, "RUNNING")
    else:
        run_id = client.create_run(experiment, tags={KEY_TAG: key}, run_name=name).info.run_id
    for tag, value in tags.items():
        client.set_tag(run_id, tag, value)
    return run_id


def log_params(run_id: str, params: dict[str, Any]) -> None:
    from mlflow.entities import Param  # noqa: PLC0415

    rows = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in sorted(params.items())]
    for i in range(0, len(rows), 100):
        _client().log_batch(run_id, params=rows[i : i + 100])


def log_metrics(run_id: str, rows: Iterable[tuple[str, float, int]]) -> None:
    """Rows of (name, value, step), in batches."""
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, step) for name, value, step in rows]
    for i in range(0, len(metrics), CHUNK):
        _client().log_batch(run_id, metrics=metrics[i : i + CHUNK])


def log_dataset(run_id: str, name: str, digest: str, uri: str) -> None:
    """A reference to data that stays where it is."""
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415

    kind = "s3" if storage.is_s3(uri) else "local"
    dataset = Dataset(name, digest[:36], kind, json.dumps({"uri": uri}))
    _client().log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", name)])])
    _client().set_tag(run_id, f"digest.{name}", digest)


def log_files(run_id: str, files: Iterable[tuple[str, bytes]], folder: str) -> None:
    """Small files, uploaded into a folder of the run."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files:
            path = Path(temporary, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _client().log_artifacts(run_id, temporary, folder)


def register(run_id: str, name: str, alias: str, tags: dict[str, str]) -> str:
    """The run's bundle as a new version of a registered model, which the alias then names; the version."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    client = _client()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"runs:/{run_id}/{BUNDLE_FOLDER}"
    version = client.create_model_version(name, source, run_id, tags=tags).version
    client.set_registered_model_alias(name, alias, str(version))
    return str(version)


def resolve_model(model: str) -> str:
    """`NAME@ALIAS` or `NAME/VERSION` as the path of the downloaded bundle; a path or URI of a bundle as it is."""
    if storage.is_s3(model) or Path(model).is_dir():
        return model if storage.is_s3(model) else str(Path(model).absolute())
    if "@" not in model and "/" not in model:
        raise Problem(f"model {model!r}: write NAME@ALIAS, NAME/VERSION or the path of a bundle")
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    client = _client()
    try:
        if "@" in model:
            found = client.get_model_version_by_alias(*model.split("@", 1))
        else:
            found = client.get_model_version(*model.rsplit("/", 1))
    except MlflowException as error:
        known = [f"{m.name}@{alias}" for m in client.search_registered_models() for alias in m.aliases]
        there = f"there are {', '.join(known)}" if known else "none is registered yet"
        place = without_password(settings().tracking_uri)
        raise Problem(f"model {model!r}: not a folder and not registered at {place}; {there}") from error
    target = Path(settings().cache_folder) / "models" / f"{found.run_id}"
    target.mkdir(parents=True, exist_ok=True)
    uri = f"runs:/{found.run_id}/{BUNDLE_FOLDER}"
    return download_artifacts(artifact_uri=uri, dst_path=str(target), tracking_uri=settings().tracking_uri)


def finish(run_id: str, status: str) -> None:
    """status: FINISHED, FAILED or KILLED."""
    _client().set_terminated(run_id, status)


def _experiment(client: Any) -> str:
    name = settings().experiment
    found = client.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

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
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient, set_tracking_uri  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    set_tracking_uri(uri)
    client = MlflowClient(tracking_uri=uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        reason = str(error).splitlines()[0][:200]
        raise Problem(f"no MLflow answers at {without_password(uri)} (MLFLOW_TRACKING_URI): {reason}") from error
    return client
