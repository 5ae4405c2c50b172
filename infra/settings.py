"""Every setting that comes from the environment, read here and nowhere else.

python -m infra.settings        prints them, with the variable that sets each
"""

import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from infra.errors import UserError, end_unread, redact_url

FOLDER = ".scriptorium"


def _home() -> Path:
    """SCRIPTORIUM_HOME; else the nearest folder .scriptorium here or above; else the place for data of this user."""
    if named := os.environ.get("SCRIPTORIUM_HOME"):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    found = next((place / FOLDER for place in (here, *here.parents) if (place / FOLDER).is_dir()), None)
    return found or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "scriptorium"


HOME = _home()  # where all state lies: records, artifacts, caches, logs of the servers


def _setting(variable: str, default: str, meaning: str) -> str:
    return field(
        default_factory=lambda: os.environ.get(variable, default),
        metadata={"variable": variable, "meaning": meaning},
    )


@dataclass(frozen=True)
class Settings:
    """Where artifacts lie and where the services are. Credentials stay in the environment (boto3 reads them there)."""

    artifact_root: str = _setting("SCRIPTORIUM_ARTIFACTS", str(HOME / "artifacts"), "folder or s3://bucket/prefix")
    tracking_uri: str = _setting("MLFLOW_TRACKING_URI", f"sqlite:///{HOME}/mlflow.db", "MLflow server or sqlite file")
    experiment: str = _setting("MLFLOW_EXPERIMENT_NAME", "scriptorium", "MLflow experiment")
    ray_address: str = _setting("RAY_ADDRESS", "", "Ray cluster; empty starts one on this machine")
    s3_endpoint: str = _setting("AWS_ENDPOINT_URL", "", "S3 server; empty is AWS")
    prefect_api: str = _setting("PREFECT_API_URL", "", "Prefect server; empty starts one for the run")
    reports: str = _setting("SCRIPTORIUM_REPORTS", "", "URL where a browser reads reports; make up sets it")
    mlflow_page: str = _setting("SCRIPTORIUM_MLFLOW_PAGE", "", "URL where a browser finds MLflow; empty: as above")
    cache_folder: str = _setting("SCRIPTORIUM_CACHE", str(HOME / "cache"), "local copies of files from S3")
    cache_mb: str = _setting("SCRIPTORIUM_CACHE_MB", "4096", "size of that folder at most")
    patience: str = _setting("SCRIPTORIUM_PATIENCE", "300", "seconds that a server which does not answer is waited for")
    cores: str = _setting("SCRIPTORIUM_CORES", str(len(os.sched_getaffinity(0))), "cores a local Ray may use")

    prefect_port: str = _setting("SCRIPTORIUM_PREFECT_PORT", "4200", "make up: port of the Prefect server")
    mlflow_port: str = _setting("SCRIPTORIUM_MLFLOW_PORT", "5000", "make up: port of the MLflow server")
    reports_port: str = _setting("SCRIPTORIUM_REPORTS_PORT", "5001", "make up: port where a browser reads reports")
    ray_port: str = _setting("SCRIPTORIUM_RAY_PORT", "6379", "make up: port of the Ray head")

    @property
    def root(self) -> str:
        """The artifact root as an absolute path or an s3:// URI, without a slash at its end."""
        remote = self.artifact_root.startswith("s3://")
        return (self.artifact_root if remote else str(Path(self.artifact_root).absolute())).rstrip("/")

    @property
    def patience_seconds(self) -> float:
        """Raises UserError where it is no number."""
        try:
            seconds = float(self.patience)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise UserError(f"SCRIPTORIUM_PATIENCE={self.patience}: give seconds, 0 not to wait at all")
        return seconds

    def for_workers(self) -> dict[str, str]:
        """The variables that a worker needs, paths absolute: its working folder is another. No credentials."""
        named = {"SCRIPTORIUM_ARTIFACTS": self.root, "SCRIPTORIUM_CACHE": str(Path(self.cache_folder).absolute())}
        named |= {"SCRIPTORIUM_CACHE_MB": self.cache_mb, "AWS_ENDPOINT_URL": self.s3_endpoint}
        named |= {"SCRIPTORIUM_PATIENCE": self.patience}
        return {name: value for name, value in named.items() if value}


def settings() -> Settings:
    """The settings of this moment: tests and workers may change the environment."""
    return Settings()


def set_defaults(variables: dict[str, str]) -> None:
    """Give other programs' environment variables a value where the user has set none."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def main() -> None:
    now = settings()
    print(f"{'SCRIPTORIUM_HOME':<24} {HOME!s:<60} all state, where nothing below says otherwise")
    for f in fields(now):
        value = redact_url(getattr(now, f.name)) or "(none)"
        print(f"{f.metadata['variable']:<24} {value:<60} {f.metadata['meaning']}")


if __name__ == "__main__":
    with end_unread():
        main()
