"""A model by the name of its file and its options, as JSON holds them, and back; and whether options can be."""

import importlib
import importlib.util
import re
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any

from models.interface import Model


def build(architecture: str, options: dict[str, Any], source_size: int, target_size: int) -> Model:
    """Instantiate `models/<architecture>.py`. The file name is the registry.

    Options of an earlier version are first brought up to date, where the module has an `update_options` for it. Raises
    ValueError for an architecture that there is not.
    """
    known = re.fullmatch("[a-z][a-z0-9_]*", architecture) and importlib.util.find_spec(f"models.{architecture}")
    module = importlib.import_module(f"models.{architecture}") if known else None
    if module is None or not hasattr(module, "Config"):
        raise ValueError(f"no architecture {architecture!r} in this version")
    options = module.update_options(options) if hasattr(module, "update_options") else options
    return module.Config(**options).build(source_size, target_size)


def architecture_modules(*architectures: str) -> tuple[str, ...]:
    """The modules of architectures, "" of none; of an ensemble, which has a plus between them, each one's."""
    return tuple(f"models.{name}" for architecture in architectures for name in architecture.split("+") if name)


def describe_config(config: Any) -> dict[str, Any]:
    """The JSON that rebuilds a model: the inverse of `build`."""
    return {"architecture": type(config).__module__.rsplit(".", 1)[-1], "options": asdict(config)}


def restore_config(config: Any) -> None:
    """For a config's `__post_init__`: nested configs and tuples, which JSON brings as dicts and lists, as they were."""
    for field in fields(config):
        value, made = getattr(config, field.name), field.default
        if isinstance(value, list):
            object.__setattr__(config, field.name, tuple(value))
        elif isinstance(value, dict) and made is not MISSING and is_dataclass(made):
            object.__setattr__(config, field.name, type(made)(**value))


def check_sizes(config: Any, *names: str) -> None:
    """Raises ValueError, by its name, for what is below 1 or has an entry below 1."""
    for name in names:
        value = getattr(config, name)
        if min(value, default=1) < 1 if isinstance(value, tuple) else value < 1:
            raise ValueError(f"{name} is at least 1, not {value}")


def check_rates(config: Any, *names: str) -> None:
    """Raises ValueError, by its name, for what is not in [0, 1), as rates of dropout and of label smoothing are."""
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"{name} is in [0, 1), not {getattr(config, name)}")


def check_positive(config: Any, *names: str) -> None:
    """Raises ValueError, by its name, for what is not above 0."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} is above 0, not {getattr(config, name)}")
