"""Decoder states as trees of tensors whose axis 0 is the batch: the acts a beam needs, for every kind of state."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from models.interface import Memory, State

PARTS = ("data", "lengths")  # of a memory


def select_rows(state: State, rows: Tensor) -> State:
    """The state of the given `rows` (N,), in their order; a row may be taken more than once."""
    return tree_map(lambda leaf: leaf.index_select(0, rows.to(leaf.device)), state)


def replace_rows(state: State, rows: Tensor, values: State) -> State:
    """`state` with `values` at the given `rows` (N,).

    Raises ValueError when a step changes a row's shape: rows of different age cannot share one tensor then.
    """

    def put(old: Tensor, new: Tensor) -> Tensor:
        if old.shape[1:] != new.shape[1:]:
            sizes = f"{tuple(old.shape[1:])} to {tuple(new.shape[1:])}"
            raise ValueError(f"a state grew from {sizes} a row: this search needs states of one size")
        return old.index_copy(0, rows, new.to(old.dtype))

    return tree_map(put, state, values)


def detach_state(state: State) -> State:
    """The state as a constant: no gradient flows into what came before."""
    return tree_map(lambda leaf: leaf.detach(), state)


def tree_leaves(state: State) -> list[Tensor]:
    """The tensors of a state in their order: what can be stored without its classes."""
    found: list[Tensor] = []
    tree_map(found.append, state)
    return found


def tree_fill(like: State, tensors: Sequence[Tensor]) -> State:
    """The state of `like`'s form that these leaves are of, the inverse of `tree_leaves`."""
    left = iter(tensors)
    return tree_map(lambda _: next(left), like)


def tree_map(function: Callable[..., Any], *trees: Any) -> Any:
    """`function` of each leaf of trees of one form, a `Memory` among them; None stays None."""
    first = trees[0]
    if isinstance(first, torch.Tensor):
        return function(*trees)
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: tree_map(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, Memory):
        return type(first)(*(tree_map(function, *(getattr(tree, name) for tree in trees)) for name in PARTS))
    leaves = [tree_map(function, *branches) for branches in zip(*trees, strict=True)]
    return type(first)(*leaves) if hasattr(first, "_fields") else type(first)(leaves)
