"""`--set fit.epochs=20`: a recipe with some of its values replaced, every key and type checked."""

import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin

from infra.errors import UserError, suggest_name

LARGEST = (1 << 63) - 1  # what a signed word of 64 bits holds
TRUTH = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def override(config: Any, settings: Sequence[str]) -> Any:
    """The config with each KEY=VALUE set, all of one config at once: a schedule and its options only fit together.

    Raises UserError for a key, type or value that does not fit.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: write KEY=VALUE, such as fit.epochs=20")
        try:
            _note(changes, config, path.strip().split("."), (value, path))
        except ValueError as error:
            raise UserError(f"--set {setting}: {error}") from error
    try:
        return _changed(config, changes)
    except ValueError as error:
        raise UserError(f"--set {' '.join(settings)}: {error}") from error


def _note(changes: dict[str, Any], config: Any, path: list[str], given: tuple[str, str]) -> None:
    """The value, in the type of the key at this path, into a tree of changes. given: the value and the whole path."""
    name, rest, (value, whole) = path[0], path[1:], given
    known = [f.name for f in fields(config)]
    if name not in known:
        raise ValueError(f"no such key; {suggest_name(name, known, before=whole.rpartition(name)[0])}")
    current = getattr(config, name)
    if rest and isinstance(current, dict):
        changes[name] = _with(changes.get(name, current), rest, _free(value))
    elif rest and is_dataclass(current):
        _note(changes.setdefault(name, {}), current, rest, given)
    elif rest:
        raise ValueError(f"{whole.rpartition('.')[0]} is a single value of type {type(current).__name__}")
    elif is_dataclass(current):
        raise ValueError(f"name one of its keys: {', '.join(f'{whole}.{f.name}' for f in fields(current))}")
    else:
        changes[name] = _typed(value, typing.get_type_hints(type(config))[name])


def _with(mapping: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, rest = path[0], path[1:]
    return mapping | {name: _with(mapping.get(name, {}), rest, value) if rest else value}


def _changed(config: Any, changes: dict[str, Any]) -> Any:
    """The config with a tree of changes made, the innermost first."""
    inner = {name: getattr(config, name) for name in changes}
    return replace(config, **{n: _changed(inner[n], c) if is_dataclass(inner[n]) else c for n, c in changes.items()})


def _typed(value: str, kind: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"is one of {', '.join(map(str, inner))}, not {value!r}")
        return value
    if origin is tuple:
        items = json.loads(value) if value.startswith("[") else [v for v in value.split(",") if v]
        return tuple(_typed(str(item), inner[0]) for item in items)
    if origin in (typing.Union, types.UnionType):
        return None if value == "none" else _typed(value, next(k for k in inner if k is not type(None)))
    if kind is bool:
        if value.lower() not in TRUTH:
            raise ValueError(f"is true or false, not {value!r}")
        return TRUTH[value.lower()]
    if origin is dict or kind is dict:
        return _mapping(value)
    if kind not in (int, float, str):
        raise ValueError(f"cannot be set from text (it is a {kind})")
    return value if kind is str else _number(value, int if kind is int else float)


def _number(value: str, kind: type[int] | type[float] = float) -> int | float:
    """Raises ValueError for what is none, for nan and infinities, and for a whole number that no count or seed can be:
    a config's whole numbers count something, and its others are finite.
    """
    what = f"a whole number from 0 to {LARGEST}" if kind is int else "a finite number"
    try:
        number = kind(value)
    except ValueError as error:
        raise ValueError(f"takes {what}, not {value!r}") from error
    if not (0 <= number <= LARGEST if kind is int else math.isfinite(number)):
        raise ValueError(f"takes {what}, not {value!r}")
    return number


def _loaded(value: str) -> Any:
    """JSON whose numbers are finite."""
    return json.loads(value, parse_constant=_number, parse_float=_number)


def _mapping(value: str) -> dict[str, Any]:
    try:
        loaded = _loaded(value)
    except json.JSONDecodeError as error:
        raise ValueError(f'takes JSON such as {{"momentum": 0.9}}, not {value!r}') from error
    if not isinstance(loaded, dict):
        raise ValueError(f"takes a JSON object, not {value!r}")
    return loaded


def _free(value: str) -> Any:
    """A value of an untyped mapping: JSON where it is JSON, else text."""
    try:
        return _loaded(value)
    except json.JSONDecodeError:
        return value
