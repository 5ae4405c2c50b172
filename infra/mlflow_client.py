"""MLflow's client for the settings' tracking URI. A server that does not answer is waited for."""

import getpass
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from importlib import metadata
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from infra import s3_client
from infra.errors import UserError, redact_url
from infra.processes import ask_git
from infra.retry import retry_outages
from infra.settings import set_defaults, settings

ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # infra/retry.py tries again, and says so in a line
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LONGEST_PARAMETER_NAME = 250  # characters
NO_NAME = re.compile(r"[^\w. :-]")  # what no name of a parameter has: the star of a pattern of weights
P = ParamSpec("P")
Answer = TypeVar("Answer")


def waiting(ask: Callable[P, Answer]) -> Callable[P, Answer]:
    """The function, repeated while MLflow or the place of its artifacts is away. What is wrong becomes one line."""

    @wraps(ask)
    def waited(*given: P.args, **named: P.kwargs) -> Answer:
        server = f"MLflow at {redact_url(settings().tracking_uri)}"
        try:
            return retry_outages(lambda: ask(*given, **named), is_outage, server)
        except Exception as error:  # what is no outage is raised again
            from mlflow.exceptions import MlflowException

            if is_outage(error) or "API request to" in str(error):
                raise UserError(_away(settings().tracking_uri, error)) from error
            if not isinstance(error, MlflowException):
                raise
            raise UserError(f"{server} refuses: {_reason(settings().tracking_uri, error)}") from error

    return waited


def is_outage(error: BaseException | None) -> bool:
    """Whether MLflow, or the S3 server its artifacts go to, may be better in a while."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError, Timeout

    if isinstance(error, MlflowException):  # it has no class of its own for a server that does not answer
        answer = re.search(r"failed with error code (\d+)", str(error))
        if answer:
            return int(answer[1]) in {429, 502, 503, 504}
        busy = error.error_code == "TEMPORARILY_UNAVAILABLE"
        if busy and settings().tracking_uri.startswith("sqlite:"):
            return "database is locked" in str(error)
        return busy or "API request to" in str(error)
    return isinstance(error, ConnectionError | Timeout) or s3_client.is_outage(error)


def client() -> Any:
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
        made = MlflowClient(tracking_uri=uri)
        made.search_experiments(max_results=1)
    except ImportError as error:
        if uri.startswith("http"):
            raise
        hint = "pip install 'scriptorium[postgres]'" if uri.startswith("postgres") else "install it"
        place = f"{redact_url(uri)} (MLFLOW_TRACKING_URI)"
        raise UserError(f"{place}: the database's driver, {error.name}, is not installed; {hint}") from error
    except (MlflowException, SQLAlchemyError) as error:
        if is_outage(error):
            raise
        raise UserError(_away(uri, error)) from error
    return made


def origin_tags() -> dict[str, str]:
    """Where a run comes from, under the names by which MLflow's UI shows it: user, command, version, commit."""
    deployment = _deployment_command()
    told = {
        "mlflow.user": _user(),
        "mlflow.source.name": redact_url(deployment or _typed_command()),
        "mlflow.source.type": "JOB" if deployment else "LOCAL",
        "mlflow.source.git.commit": ask_git("rev-parse", "HEAD"),
        "scriptorium.version": _version(),
        "scriptorium.modified": ask_git("status", "--porcelain", "--untracked-files=no")[:4000],
    }
    return {name: value for name, value in told.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return str(os.getuid())


def _typed_command() -> str:
    words = sys.orig_argv
    if len(words) > 1 and Path(words[1]).name == "scriptorium":
        return shlex.join(["scriptorium", *words[2:]])
    return shlex.join([Path(words[0]).name, *words[1:]])


def _deployment_command() -> str:
    """What starts the same run again, where a deployment of Prefect's started this one; else empty."""
    if "prefect" not in sys.modules:
        return ""
    from prefect.runtime import deployment, flow_run

    if not deployment.name:
        return ""
    given = (f"{name}={json.dumps(value)}" for name, value in flow_run.parameters.items())
    words = ["prefect", "deployment", "run", f"{flow_run.flow_name}/{deployment.name}"]
    return shlex.join([*words, *(word for one in given for word in ("--param", one))])


def _version() -> str:
    try:
        return metadata.version("scriptorium")
    except metadata.PackageNotFoundError:  # run from a folder that was not installed
        return ""


def _away(uri: str, error: Exception) -> str:
    return f"no MLflow answers at {redact_url(uri)} (MLFLOW_TRACKING_URI): {_reason(uri, error)}"


def _reason(uri: str, error: Exception) -> str:
    return redact_url((str(error).splitlines() or [""])[0], uri)[:200]


def rename_params(params: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Parameters by names that MLflow takes, no two the same: `_` for what it does not."""
    taken = set[str]()
    for given, value in params:
        name = NO_NAME.sub("_", given)[:LONGEST_PARAMETER_NAME]
        while name in taken:
            name += "_"
        taken.add(name)
        yield name, value
