"""Every setting that comes from the environment, read here and nowhere else.

python -m infra.settings        prints them, with the variable that sets each
"""

import math
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import unquote

from infra.errors import UserError

HOME = Path(".scriptorium").absolute()


def _setting(variable: str, default: str, meaning: str) -> str:
    return field(
        default_factory=lambda: os.environ.get(variable, default),
        metadata={"variable": variable, "meaning": meaning},
    )


@dataclass(frozen=True)
class Settings:
    """Where artifacts lie and where the services are. Credentials stay in the environment (boto3 reads them there)."""

    artifact_root: str = _setting("SCRIPTORIUM_ARTIFACTS", "artifacts", "folder or s3://bucket/prefix")
    tracking_uri: str = _setting("MLFLOW_TRACKING_URI", f"sqlite:///{HOME}/mlflow.db", "MLflow server or sqlite file")
    experiment: str = _setting("MLFLOW_EXPERIMENT_NAME", "scriptorium", "MLflow experiment")
    ray_address: str = _setting("RAY_ADDRESS", "", "Ray cluster; empty starts one on this machine")
    s3_endpoint: str = _setting("AWS_ENDPOINT_URL", "", "S3 server; empty is AWS")
    prefect_api: str = _setting("PREFECT_API_URL", "", "Prefect server; empty starts one for the run")
    cache_folder: str = _setting("SCRIPTORIUM_CACHE", str(HOME / "cache"), "local copies of files from S3")
    cache_mb: str = _setting("SCRIPTORIUM_CACHE_MB", "4096", "size of that folder at most")
    patience: str = _setting("SCRIPTORIUM_PATIENCE", "300", "seconds that a server which does not answer is waited for")
    cores: str = _setting("SCRIPTORIUM_CORES", str(len(os.sched_getaffinity(0))), "cores a local Ray may use")

    prefect_port: str = _setting("SCRIPTORIUM_PREFECT_PORT", "4200", "make up: port of the Prefect server")
    mlflow_port: str = _setting("SCRIPTORIUM_MLFLOW_PORT", "5000", "make up: port of the MLflow server")
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


SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|sig|cred|auth|sas", re.IGNORECASE)
# Up to the last @: a password that was not encoded may hold any of / @ : # ? itself.
USER_INFO = re.compile(r"(://[^\s:]*):\S*@")
QUERY_NAME, QUERY_VALUE = re.compile(r"[?&;]([^\s=&;?]+)="), re.compile(r"[^\s&]*")
OPTION = re.compile(r"(?i)(?<![\w.?&;])((?:ssl|pg)?(?:password|passwd|pwd)|\w*secret\w*|(?:\w+_)?token|api_?key)=(\S+)")
SHORTEST_SECRET = 3  # characters of a part of one that an error may quote alone


def redact_url(text: str, *secret_urls: str) -> str:
    """The text without the passwords of the URLs in it (`scheme://user:password@host`), and without the secrets of
    their queries (`?password=`, `&token=`) and of options (`password=`).

    secret_urls: URLs whose secrets are known, and are left out wherever they or parts of them stand: who takes a URL
    apart wrongly quotes what it holds for the port.
    """
    for secret in sorted({part for url in secret_urls for part in _secrets(url)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    for start, end in reversed(_query_secrets(text)):
        text = f"{text[:start]}***{text[end:]}"
    return OPTION.sub(r"\1=***", USER_INFO.sub(r"\1:***@", text))


def _query_secrets(text: str) -> list[tuple[int, int]]:
    """Where in a text the values of a query's secrets begin and end."""
    found, end = list[tuple[int, int]](), 0
    for name in QUERY_NAME.finditer(text):
        if name.start() >= end and SECRET_NAME.search(unquote(name[1])):
            value = QUERY_VALUE.match(text, name.end())
            end = value.end() if value else name.end()
            found.append((name.end(), end))
    return found


def _secrets(url: str) -> set[str]:
    """As they are written, decoded, and the parts between what divides a URL."""
    found = {m[0].removeprefix(m[1])[1:-1] for m in USER_INFO.finditer(url)}
    found |= {url[start:end] for start, end in _query_secrets(url)}
    found |= {unquote(secret) for secret in found}
    divided = [re.split(r"([/@:#?])", secret) for secret in found]
    parts = {"".join(d[i:j]) for d in divided for i in range(len(d)) for j in range(i + 1, len(d) + 1)}
    return {part for part in parts if len(part) >= SHORTEST_SECRET}


def main() -> None:
    now = settings()
    for f in fields(now):
        value = redact_url(getattr(now, f.name)) or "(none)"
        print(f"{f.metadata['variable']:<24} {value:<60} {f.metadata['meaning']}")


if __name__ == "__main__":
    main()
