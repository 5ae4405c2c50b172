"""Decoder states as trees of tensors whose axis 0 is the batch: the acts a beam needs, for every kind of state."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.interface import Memory, State

PARTS = ("data", "lengths")  # of a memory


def select_rows(state: State, rows: Tensor) -> State:
    """The state of the given `rows` (N,), in their order; a row may be taken more than once."""
    return tree_map(lambda leaf: leaf.index_select(0, rows.to(leaf.device)), state)


class GrowingState(NamedTuple):
    """What a row has read, step by step: its own first steps, whatever is beyond them; so rows of different age share
    tensors. A model that keeps such a state (a cache of keys and values) finds out from `read` how many are its own.
    """

    steps: tuple[Tensor, ...]  # (N, P, ...) each
    read: Tensor  # (N,) the steps read so far


def align_steps(one: State, other: State) -> tuple[State, State]:
    """Two states of one form, what grows in them filled up to one number of steps."""
    if isinstance(one, GrowingState):
        most = [max(a.shape[1], b.shape[1]) for a, b in zip(one.steps, other.steps, strict=True)]
        filled = [tuple(map(_filled, state.steps, most)) for state in (one, other)]
        return one._replace(steps=filled[0]), other._replace(steps=filled[1])
    if isinstance(one, Tensor) or one is None:
        return one, other
    if isinstance(one, dict):
        pairs = {key: align_steps(one[key], other[key]) for key in one}
        return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}
    pairs = [align_steps(*pair) for pair in zip(one, other, strict=True)]
    one_side, other_side = ([pair[side] for pair in pairs] for side in (0, 1))
    make = type(one)._make if hasattr(one, "_fields") else type(one)
    return make(one_side), make(other_side)


def _filled(steps: Tensor, most: int) -> Tensor:
    missing = most - steps.shape[1]
    return torch.cat((steps, steps.new_zeros(len(steps), missing, *steps.shape[2:])), 1) if missing else steps


def replace_rows(state: State, rows: Tensor, values: State) -> State:
    """`state` with `values` at the given `rows` (N,).

    Raises ValueError when a step changes a row's shape, unless in a `GrowingState`.
    """
    state, values = align_steps(state, values)

    def put(old: Tensor, new: Tensor) -> Tensor:
        if old.shape[1:] != new.shape[1:]:
            sizes = f"{tuple(old.shape[1:])} to {tuple(new.shape[1:])}"
            raise ValueError(
                f"a state grew from {sizes} a row: this search needs states of one size, or a GrowingState"
            )
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
