"""infra/compose.yaml and the Dockerfile as what they say is run: commands, variables, questions whether it is well."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.errors import UserError

INFRA = Path(__file__).resolve().parent.parent
COMPOSE, DOCKERFILE = INFRA / "compose.yaml", INFRA / "Dockerfile"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}|\$(\w+)|\$\$")  # ${A}, ${A:-default}, ${A:?why}, $A; $$: a $


@dataclass(frozen=True, slots=True)
class Service:
    """A container of the compose file. environment: with that of the image. check: of its health, empty where it has
    none. shared_memory: size of /dev/shm as mount takes it.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    check: list[str]
    shared_memory: str


def load_services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service, its `$` filled in. Raises UserError for a variable that must be set and is not."""
    whole = fill_in(yaml.safe_load(COMPOSE.read_text()), variables)
    return {name: _service(name, told) for name, told in whole["services"].items()}


def load_databases() -> str:
    """The SQL that PostgreSQL begins with."""
    return yaml.safe_load(COMPOSE.read_text())["configs"]["databases"]["content"]


def load_image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    told = [line.removeprefix("ENV ") for line in text.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in told for pair in shlex.split(line))


def fill_in(value: Any, variables: Mapping[str, str]) -> Any:
    """The value with what compose puts for `$`, at any depth."""
    if isinstance(value, dict):
        return {name: fill_in(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [fill_in(each, variables) for each in value]
    return VARIABLE.sub(lambda found: _value(found, variables), value) if isinstance(value, str) else value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found[0] == "$$":
        return "$"
    name, sign, rest = found[1] or found[4], found[2], found[3]
    value = variables.get(name, "")
    if not value and sign == "?":
        raise UserError(f"{COMPOSE}: {name} is not set: {rest}")
    return value or (rest if sign == "-" else "")


def _service(name: str, told: dict[str, Any]) -> Service:
    image = load_image_environment() if told["image"] == "scriptorium" else {}
    command = told.get("command", "")
    kind, *check = told.get("healthcheck", {}).get("test", ["NONE"])
    return Service(
        name,
        shlex.split(command) if isinstance(command, str) else command,
        image | {key: str(value) for key, value in told.get("environment", {}).items()},
        ["sh", "-c", *check] if kind == "CMD-SHELL" else check,
        told.get("shm_size", "64mb").removesuffix("b"),
    )
