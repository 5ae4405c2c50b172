"""A config from JSON that may be anybody's: every field by its type, nothing besides, before anything is made of it."""

import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

C = TypeVar("C")
LARGEST = 1 << 53  # of a number, beyond which JSON and floats disagree


def read_config(kind: type[C], told: object, name: str = "") -> C:
    """The dataclass that JSON tells, lists as tuples. Raises ValueError naming a field that it does not have, or of
    another type. name: what the config is called there.
    """
    if not isinstance(told, dict):
        raise ValueError(f"{name or 'it'} is no JSON object")
    hints = get_type_hints(kind)
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  (a dataclass)
    if unknown := sorted(map(str, told.keys() - known)):
        raise ValueError(f"{name or kind.__name__} has no {unknown[0]!r}")
    return kind(**{field: _read(hints[field], value, f"{name}.{field}".strip(".")) for field, value in told.items()})


def _read(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return read_config(hint, value, name)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_read(get_args(hint)[0], one, name) for one in value)
    if not _fits(hint, value):
        raise ValueError(f"{name} is {ascii(value)[:60]}, which is no {getattr(hint, '__name__', hint)}")
    return value


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) in {Union, UnionType}:
        return any(_fits(one, value) for one in get_args(hint))
    if hint is float:
        return type(value) in {int, float} and math.isfinite(value) and abs(value) <= LARGEST
    if hint is int:
        return type(value) is int and abs(value) <= LARGEST
    return type(value) is hint


def flatten_params(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"fit": {"epochs": 3}}` as `{"fit.epochs": 3}`."""
    rows: dict[str, Any] = {}
    for name, value in tree.items():
        rows |= (
            flatten_params(value, f"{prefix}{name}.")
            if isinstance(value, dict) and value
            else {f"{prefix}{name}": value}
        )
    return rows
