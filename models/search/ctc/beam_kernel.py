"""The compiled part of the CTC prefix beam search: one utterance, frame by frame.

    b_t(y) = (b + l)_{t-1}(y) p_t(blank)                                      alignments that end in blank
    l_t(y) = l_{t-1}(y) p_t(y_last) + m_{t-1}(y') p_t(y_last)                 those that end in y's last token
             where y = y' y_last and m(y') = b(y') if y' ends in y_last too, else (b + l)(y')

A prefix is a node of a trie, found by its parent and last token in a hash table, so one that left the beam and came
back is the parent of those that stayed. A live prefix has a place, which holds its two masses, what is fused into its
score, and what every next token would add (its gains). A frame goes through the places from the one that can reach
highest, each time through the tokens from the most probable, and stops where the highest that can still come is not
above the least of the `width` best so far: nothing that is left out could have been among them.
"""

import math

import numpy as np

from models.search import binary_heap as heaps
from models.search import numba_jit as compilation
from models.search.binary_heap import heap, order, sift, sort
from models.search.ctc import prefix_tree
from models.search.ctc.prefix_tree import FREE, FRESH, LIVE, NODES, TICK, PrefixTree, SearchLimits, find_or_add_node
from models.search.language import ctc_fusion_automaton
from models.search.language.ctc_fusion_automaton import BLANK, EOS, Automaton, Floats, begin_state, token_weights
from models.search.language.ctc_fusion_automaton import advance_state as follow
from models.search.numba_jit import borrowed, cached_jit, jit

NEGLIGIBLE = -40.0  # exp of it is lost in a double
GROWN = 1 << 32  # times the place is the name of a prefix with one more token


@jit
def _add(a: float, b: float) -> float:
    """log(exp a + exp b)"""
    if a < b:
        a, b = b, a
    return a + math.log1p(math.exp(b - a)) if b - a > NEGLIGIBLE else a  # -inf - -inf is not above it


@jit
def _offer(search: PrefixTree, size: int, score: float, name: int) -> int:
    """The number of the chosen after one more candidate."""
    scores, names = search.best, search.name
    if size == len(scores):
        if score > scores[0]:
            sift(scores, names, 0, size, (score, name))
        return size
    if score == -np.inf:
        return size
    scores[size], names[size] = score, name
    if size + 1 == len(scores):
        heap(scores, names, size + 1)
    return size + 1


@jit
def _stay(search: PrefixTree, frame: Floats) -> int:
    """The masses of the live prefixes after a frame, parents' included; the number of the chosen."""
    chosen, tick = 0, search.counts[TICK]
    for at in range(search.counts[LIVE]):
        p = search.alive[at]
        node = search.node[p]
        token, up = search.token[node], search.parent[node]
        search.next_blank[p] = search.mass[p] + frame[BLANK]
        search.next_label[p] = -np.inf
        if up >= 0:
            arrived, q = search.label[p], search.place[up]
            if q >= 0:
                search.taken[q, token] = tick
                arrived = _add(arrived, search.blank[q] if search.token[up] == token else search.mass[q])
            search.next_label[p] = arrived + frame[token]
        search.next_mass[p] = _add(search.next_blank[p], search.next_label[p])
        chosen = _offer(search, chosen, search.next_mass[p] + search.fused[p], -1 - p)
    return chosen


@jit
def _rank(search: PrefixTree, frame: Floats, floor: float) -> int:
    """Orders the live prefixes by their reach, and finds the tokens that can lead above the floor."""
    live, top, tokens, rank = search.counts[LIVE], -np.inf, 0, search.rank
    for i in range(live):
        rank[i] = search.reach[search.alive[i]]
        top = max(top, rank[i])
    order(rank, search.alive, search.order, live)
    for c in range(1, len(frame)):
        if frame[c] + top > floor:
            rank[tokens], search.order[tokens] = frame[c], c
            tokens += 1
    return tokens


@jit
def _grow(search: PrefixTree, frame: Floats, chosen: int, max_length: int) -> int:
    """The best of the chosen and of the live prefixes with one more token; how many they are."""
    rank, floor = search.rank, search.best[0] if chosen == len(search.best) else -np.inf
    tokens = _rank(search, frame, floor)
    if tokens == 0:
        return chosen
    highest = np.max(rank[:tokens])
    few = 2 * tokens < len(frame)  # else it is faster to try them all than to put them in order
    if few:
        sort(rank, search.order, tokens)
    for at in range(search.counts[LIVE]):
        p = search.alive[at]
        if chosen == len(search.best) and search.reach[p] + highest <= search.best[0]:
            break
        if search.depth[search.node[p]] < max_length:
            chosen = _try(search, p, chosen, tokens) if few else _try_all(search, frame, p, chosen)
    return chosen


@jit
def _try(search: PrefixTree, p: int, chosen: int, tokens: int) -> int:
    """The number of the chosen after a place with each of the tokens in order."""
    row, last, floor = p if len(search.gains) > 1 else 0, search.token[search.node[p]], -np.inf
    for i in range(tokens):
        c, log_prob = search.order[i], search.rank[i]
        if chosen == len(search.best):
            floor = search.best[0]
        if search.reach[p] + log_prob <= floor:
            break
        mass = search.blank[p] if c == last else search.mass[p]
        score = mass + search.fused[p] + log_prob + search.gains[row, c]
        if score > floor and search.taken[p, c] != search.counts[TICK]:
            chosen = _offer(search, chosen, score, p * GROWN + c)
    return chosen


@jit
def _try_all(search: PrefixTree, frame: Floats, p: int, chosen: int) -> int:
    """The number of the chosen after a place with each token."""
    size, row, scores = len(frame), p if len(search.gains) > 1 else 0, search.rank
    last, fused = search.token[search.node[p]], search.fused[p]
    blank, mass = search.blank[p] + fused, search.mass[p] + fused
    floor = search.best[0] if chosen == len(search.best) else -np.inf
    for c in range(size):
        scores[c] = mass + frame[c] + search.gains[row, c]
    if last != BLANK:
        scores[last] = blank + frame[last] + search.gains[row, last]
    for c in range(1, size):
        if scores[c] > floor and search.taken[p, c] != search.counts[TICK]:
            chosen = _offer(search, chosen, scores[c], p * GROWN + c)
            floor = search.best[0] if chosen == len(search.best) else floor
    return chosen


@jit
def _keep_one_that_may_end(search: PrefixTree, chosen: int) -> None:
    """Where every chosen prefix would have to go on, the best live one that may end takes the place of the least."""
    best, place = -np.inf, -1
    for at in range(search.counts[LIVE]):
        p = search.alive[at]
        score = search.next_mass[p] + search.fused[p]
        if search.final[p] > -np.inf and score > best:
            best, place = score, p
    for name in search.name[:chosen]:
        if name < 0 and search.final[-1 - name] > -np.inf:
            return
    if place >= 0:  # it was not chosen, so the beam is full
        search.best[0], search.name[0] = best, -1 - place


@jit
def _settle(search: PrefixTree, machine: Automaton, frame: Floats, chosen: int) -> None:
    """The chosen become the live prefixes. Places that are left stay as they are until the next frame."""
    live, free, tick = search.counts[LIVE], search.counts[FREE], search.counts[TICK]
    fresh = 0
    for at in range(chosen):
        name = search.name[at]
        if name < 0:
            search.seen[-1 - name] = tick
            continue
        p, c = name >> 32, name & (GROWN - 1)
        free -= 1
        q = search.free[free]
        search.node[q] = find_or_add_node(search, search.node[p], c)
        search.next_blank[q] = -np.inf
        search.next_label[q] = frame[c] + (search.blank[p] if search.token[search.node[p]] == c else search.mass[p])
        search.next_mass[q] = search.next_label[q]
        search.fused[q] = search.fused[p] + search.gains[p if len(search.gains) > 1 else 0, c]
        for i in range(search.state.shape[1]):
            search.state[q, i] = search.state[p, i]
        follow(machine, search.state[q], c)
        _look(search, machine, q)
        search.origin[q], search.fresh[fresh] = p, q
        fresh += 1
    kept = 0
    for i in range(live):
        p = search.alive[i]
        if search.seen[p] == tick:
            search.alive[kept] = p
            kept += 1
        else:
            search.place[search.node[p]] = -1
            search.free[free] = p
            free += 1
    for at in range(fresh):
        q = search.fresh[at]
        search.place[search.node[q]] = q
        search.alive[kept] = q
        kept += 1
    search.counts[LIVE], search.counts[FREE], search.counts[FRESH] = kept, free, fresh
    _commit(search)


@jit
def _commit(search: PrefixTree) -> None:
    for at in range(search.counts[LIVE]):
        p = search.alive[at]
        search.blank[p], search.label[p] = search.next_blank[p], search.next_label[p]
        search.mass[p] = search.next_mass[p]
        search.reach[p] = search.mass[p] + search.fused[p] + search.most[p]


@jit
def _look(search: PrefixTree, machine: Automaton, p: int) -> None:
    """What can be added to the prefix of a place, by its state."""
    if len(search.gains) == 1 and p:
        search.final[p], search.most[p] = search.final[0], search.most[0]
        return
    size, numbers, at = search.gains.shape[1], search.state.shape[1], 0
    for i in range(numbers):
        at = (at ^ search.state[p, i]) * 2654435761
    at = (at >> 15) & (len(search.memo) - 1)
    known = True
    for i in range(numbers):
        known &= search.memo_state[at, i] == search.state[p, i]
    if not known:
        row = search.memo[at]
        token_weights(machine, search.state[p], row[: size + 1])
        row[size + 1] = np.max(row[1:size]) if size > 1 else -np.inf
        for i in range(numbers):
            search.memo_state[at, i] = search.state[p, i]
    for c in range(size):
        search.gains[p, c] = search.memo[at, c]
    search.final[p], search.most[p] = search.memo[at, size], search.memo[at, size + 1]


@cached_jit(ctc_fusion_automaton, prefix_tree, heaps, compilation)
def start_search(search: PrefixTree, machine: Automaton) -> None:
    """The empty prefix alone, in place 0."""
    search.table[:] = 0
    places = len(search.node)
    for i in range(places):
        search.alive[i], search.free[i] = 0, places - 1 - i
    search.counts[LIVE], search.counts[FREE], search.counts[NODES], search.counts[FRESH] = 1, places - 1, 1, 1
    search.fresh[0] = 0
    search.parent[0], search.token[0], search.depth[0], search.place[0] = -1, BLANK, 0, 0
    search.node[0], search.fused[0] = 0, 0
    search.next_blank[0], search.next_label[0], search.next_mass[0] = 0, -np.inf, 0
    begin_state(machine, search.state[0])
    _look(search, machine, 0)
    _commit(search)


@cached_jit(ctc_fusion_automaton, prefix_tree, heaps, compilation)
def search_frame(search: PrefixTree, machine: Automaton, frame: Floats, limits: SearchLimits) -> None:
    """One frame (V,) of log-probabilities."""
    search, machine, frame = borrowed(search), borrowed(machine), borrowed(frame)
    search.counts[TICK] += 1
    if frame[BLANK] > limits.skip:
        search.counts[FRESH] = 0
        for at in range(search.counts[LIVE]):
            p = search.alive[at]
            search.next_blank[p] = search.next_mass[p] = search.mass[p] + frame[BLANK]
            search.next_label[p] = -np.inf
        _commit(search)
        return
    chosen = _grow(search, frame, _stay(search, frame), limits.max_length)
    if limits.must_end:
        _keep_one_that_may_end(search, chosen)
    _settle(search, machine, frame, chosen)


@cached_jit(ctc_fusion_automaton, prefix_tree, heaps, compilation)
def add_neural_scores(search: PrefixTree, rows: Floats, weight: float) -> None:
    """A neural model's log-probabilities (n, V) of what follows the n fresh prefixes."""
    size = rows.shape[1]
    for i in range(search.counts[FRESH]):
        p = search.fresh[i]
        for c in range(size):
            search.gains[p, c] += weight * rows[i, c]
        search.final[p] += weight * rows[i, EOS]
        search.most[p] = np.max(search.gains[p, 1:])
        search.reach[p] = search.mass[p] + search.fused[p] + search.most[p]


@cached_jit(ctc_fusion_automaton, prefix_tree, heaps, compilation)
def search_utterance(search: PrefixTree, machine: Automaton, frames: Floats, limits: SearchLimits) -> None:
    """A whole utterance (T, V)."""
    search, machine, frames = borrowed(search), borrowed(machine), borrowed(frames)
    start_search(search, machine)
    for t in range(len(frames)):
        search_frame(search, machine, frames[t], limits)
