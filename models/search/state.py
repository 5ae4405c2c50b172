"""Decoder states as trees of tensors whose axis 0 is the batch: the acts a beam needs, for every kind of state."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.interface import State


def select(state: State, rows: Tensor) -> State:
    """The state of the given `rows` (N,), in their order; a row may be taken more than once."""
    return _mapped(lambda leaf: leaf.index_select(0, rows), state)


def replace(state: State, rows: Tensor, values: State) -> State:
    """`state` with `values` at the given `rows` (N,).

    Raises ValueError when a step changes a row's shape: rows of different age cannot share one tensor then.
    """

    def put(old: Tensor, new: Tensor) -> Tensor:
        if old.shape[1:] != new.shape[1:]:
            sizes = f"{tuple(old.shape[1:])} to {tuple(new.shape[1:])}"
            raise ValueError(f"a state grew from {sizes} a row: this search needs states of one size")
        return old.index_copy(0, rows, new.to(old.dtype))

    return _mapped(put, state, values)


def _mapped(function: Callable[..., Tensor], *trees: Any) -> Any:
    first = trees[0]
    if isinstance(first, torch.Tensor):
        return function(*trees)
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: _mapped(function, *(tree[key] for tree in trees)) for key in first}
    leaves = [_mapped(function, *branches) for branches in zip(*trees, strict=True)]
    return type(first)(*leaves) if hasattr(first, "_fields") else type(first)(leaves)
