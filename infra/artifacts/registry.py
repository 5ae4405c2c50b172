"""What MLflow's registry says of artifacts: every version of every model, by the digests it was made with."""

from pathlib import Path
from typing import NamedTuple

from infra.errors import UserError, redact_url
from infra.mlflow_client import client, waiting
from infra.settings import settings
from infra.tracking import BUNDLE_TAG, CHUNK


class RegisteredVersion(NamedTuple):
    """A version of a registered model. digests: of what it was made with, by kind."""

    name: str
    version: str
    run_id: str
    digests: dict[str, str]


@waiting
def registered_versions() -> list[RegisteredVersion]:
    """Every version of every model, whether or not an alias names it. Raises UserError where there is no registry."""
    place = settings().tracking_uri
    if place.startswith("sqlite:///") and not Path(place.removeprefix("sqlite:///")).is_file():
        raise UserError(
            f"no MLflow record at {redact_url(place)} (MLFLOW_TRACKING_URI): no way to ask what is registered"
        )
    found, page = [], None
    mlflow = client()
    while page != "":
        rows = mlflow.search_model_versions(max_results=CHUNK, page_token=page)
        for row in rows:
            tags = (run_tags(row.run_id) or {}) if row.run_id else {}
            told = {name.removeprefix("digest."): value for name, value in tags.items() if name.startswith("digest.")}
            told |= {"bundle": tags[BUNDLE_TAG]} if BUNDLE_TAG in tags else {}
            found.append(RegisteredVersion(row.name, str(row.version), row.run_id or "", told | dict(row.tags)))
        page = rows.token or ""
    return found


@waiting
def run_tags(run_id: str) -> dict[str, str] | None:
    """None where this record does not know the run; a deleted run it still knows."""
    from mlflow.exceptions import MlflowException

    try:
        return dict(client().get_run(run_id).data.tags)
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            raise
        return None
