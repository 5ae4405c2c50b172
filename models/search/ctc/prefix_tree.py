"""Where a CTC search keeps its prefixes."""

from typing import NamedTuple

import numpy as np

from models.search.language.ctc_fusion_automaton import Automaton, Floats, Ints, Longs, state_size
from models.search.numba_jit import jit

LIVE, FREE, NODES, TICK, FRESH = 0, 1, 2, 3, 4  # what `counts` of a search counts
MEMO_NUMBERS = 1 << 16  # what is remembered of the states of a language model: 512 KB


class SearchLimits(NamedTuple):
    """max_length: tokens of a prefix. skip: a frame whose log p(blank) is above it is read as blank. must_end: a text
    may not end everywhere.
    """

    max_length: int
    skip: float
    must_end: bool


class PrefixTree(NamedTuple):
    """One utterance's search. P places (two for each of the width's W), N nodes, V tokens, S numbers in a state."""

    parent: Ints  # (N,)
    token: Ints
    depth: Ints
    place: Ints  # -1 where the prefix is not live
    table: Ints  # nodes by the hash of parent and token, 0 where none; its size is a power of two
    node: Ints  # (P,)
    blank: Floats  # log b
    label: Floats  # log l
    mass: Floats  # log (b + l)
    fused: Floats
    final: Floats  # what the end of the text adds
    most: Floats  # the highest of its gains
    reach: Floats  # mass + fused + most
    next_blank: Floats
    next_label: Floats
    next_mass: Floats
    gains: Floats  # (P, V); (1, V) where nothing fused depends on what came before
    state: Longs  # (P, S)
    memo: Floats  # (M, V + 2) gains, final and most of a state, at the hash of it; M is a power of two
    memo_state: Longs  # (M, S)
    taken: Ints  # (P, V) the frame at which prefix and token were a live prefix
    seen: Ints  # (P,) the frame at which the place was chosen to stay
    alive: Ints  # (P,) places
    free: Ints
    fresh: Ints  # (W,) places that the last frame filled
    origin: Ints  # (P,) the place that a fresh one grew from
    order: Ints  # (V,) tokens, or places
    rank: Floats  # (max(P, V),) what `order` is ordered by
    best: Floats  # (W,) a heap, the least at its top: the scores of the chosen
    name: Longs  # (W,) place << 32 | token, or -1 - place for one that stays
    counts: Longs  # (5,)


@jit
def find_or_add_node(search: PrefixTree, parent: int, token: int) -> int:
    """The node of a prefix, made where it is new."""
    table, mask = search.table, len(search.table) - 1
    at = (parent * 2654435761 + token * 40503) & mask
    while table[at]:
        if search.parent[table[at]] == parent and search.token[table[at]] == token:
            return table[at]
        at = (at + 1) & mask
    node = search.counts[NODES]
    search.counts[NODES] = node + 1
    search.parent[node], search.token[node], search.place[node] = parent, token, -1
    search.depth[node] = search.depth[parent] + 1
    table[at] = node
    return node


def allocate_tree(machine: Automaton, width: int, steps: int, size: int, *, neural: bool) -> PrefixTree:
    """For utterances of so many steps and tokens, and a beam's width. What is never written takes no memory.

    neural: a model outside the machine adds to the gains.
    """
    places, nodes, of_state = 2 * width, steps * width + 1, state_size(machine)
    varied = bool(len(machine.tokens) or len(machine.word))
    memo = 1 << max(0, min(14, (MEMO_NUMBERS // size).bit_length() - 1)) if varied else 1
    return PrefixTree(
        parent=_ints(nodes),
        token=_ints(nodes),
        depth=_ints(nodes),
        place=_ints(nodes),
        table=_ints(1 << (2 * nodes).bit_length()),
        node=_ints(places),
        blank=np.zeros(places),
        label=np.zeros(places),
        mass=np.zeros(places),
        fused=np.zeros(places),
        final=np.zeros(places),
        most=np.zeros(places),
        reach=np.zeros(places),
        next_blank=np.zeros(places),
        next_label=np.zeros(places),
        next_mass=np.zeros(places),
        gains=np.zeros((places if varied or neural else 1, size)),
        state=np.zeros((places, of_state), np.int64),
        memo=np.zeros((memo, size + 2)),
        memo_state=np.full((memo, of_state), -2, np.int64),
        taken=_ints(places, size),
        seen=_ints(places),
        alive=_ints(places),
        free=_ints(places),
        fresh=_ints(width),
        origin=_ints(places),
        order=_ints(max(places, size)),
        rank=np.zeros(max(places, size)),
        best=np.zeros(width),
        name=np.zeros(width, np.int64),
        counts=np.zeros(5, np.int64),
    )


def _ints(*shape: int) -> Ints:
    return np.zeros(shape, np.int32)
