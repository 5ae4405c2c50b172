"""Viterbi alignment for CTC, compiled: a trie of texts, such as a search has found, and the best path of each.

The Viterbi scores of a prefix do not depend on how it goes on, so the prefixes that hypotheses share are aligned once.
A node n, whose last token is c, has the states of Graves et al. 2006, section 4.1: c itself, and the blank after it.

    label_t(n) = p_t(c) max(label_{t-1}(n), blank_{t-1}(parent), label_{t-1}(parent) if it ends in another token)
    blank_t(n) = p_t(blank) max(blank_{t-1}(n), label_{t-1}(n))
"""

import math
from typing import Any

import numpy as np

from models.interface import Hypothesis
from models.search import binary_heap as heaps
from models.search import numba_jit as compilation
from models.search.binary_heap import sort
from models.search.ctc import prefix_tree
from models.search.ctc.prefix_tree import LIVE, NODES, PrefixTree
from models.search.language import ctc_fusion_automaton
from models.search.language.ctc_fusion_automaton import BLANK, Floats, Ints, Longs
from models.search.numba_jit import cached_jit, jit


@cached_jit(ctc_fusion_automaton, prefix_tree, heaps, compilation)
def collect_hypotheses(search: PrefixTree) -> tuple[Floats, Ints, Ints, Ints]:
    """The hypotheses, best first: scores (n,), and the prefixes that lead to them as a trie of their own.

    Their nodes (n,), and of every node (m,), by their depth, parent and last token.
    """
    live, count = search.counts[LIVE], 0
    for p in search.alive[:live]:
        score = search.mass[p] + search.fused[p] + search.final[p]
        if score > -np.inf:
            search.rank[count], search.order[count] = score, search.node[p]
            count += 1
    sort(search.rank, search.order, count)
    number = np.full(search.counts[NODES], -1, np.int32)
    number[0] = 0
    deepest = 0
    for node in search.order[:count]:
        deepest = max(deepest, search.depth[node])
        while number[node] < 0:
            number[node] = 0
            node = search.parent[node]
    begins = np.zeros(deepest + 2, np.int64)
    for node in range(len(number)):
        if number[node] >= 0:
            begins[search.depth[node] + 1] += 1
    begins = np.cumsum(begins)
    nodes = begins[-1]
    parent, token = np.empty(nodes, np.int32), np.empty(nodes, np.int32)
    for node in range(len(number)):
        if number[node] >= 0:
            at = begins[search.depth[node]]
            begins[search.depth[node]] += 1
            number[node], token[at] = at, search.token[node]
            parent[at] = number[search.parent[node]] if node else -1
    leaves = np.empty(count, np.int32)
    for i in range(count):
        leaves[i] = number[search.order[i]]
    return search.rank[:count].copy(), leaves, parent, token


Traced = tuple[Floats, Ints, Ints, Ints, Ints, Floats]


def to_hypotheses(traced: Traced, scores: Floats | None = None) -> list[Hypothesis]:
    """What `trace_alignments` has found, in words. scores: of each prefix, where it is not its alignment's
    log-probability.
    """
    best, begins, tokens, span, (first, last), means = (part.tolist() for part in traced)
    spans = list(zip(first, last, strict=True))
    rows = zip(best, best if scores is None else scores.tolist(), begins, begins[1:], means, strict=False)
    return [
        Hypothesis(tuple(tokens[b:e]), score, tuple([spans[i] for i in span[b:e]]), math.exp(mean))
        if log_prob > -math.inf
        else Hypothesis(tuple(tokens[b:e]), score)
        for log_prob, score, b, e, mean in rows
    ]


@cached_jit(compilation)
def trace_alignments(frames: Floats, parent: Ints, token: Ints, leaves: Ints) -> Traced:
    """The best alignment over frames (T, V) of each prefix of a trie (m,), whose leaves (n,) are asked for.

    Their log-probabilities (n,). Where the tokens of each begin, and the last end (n + 1,); of all tokens one after the
    other what they are, and which of the spans they have; the different spans (2, s) as first step and last + 1; the
    mean of each prefix's peaks (n,), a peak being the highest log-probability of a token on its span. Of a prefix whose
    log-probability is -inf the spans and the mean say nothing. Nodes come by their depth, the empty prefix first.
    """
    moves, label, blank = _best_moves(frames, parent, token, leaves)
    begins = np.zeros(len(leaves) + 1, np.int32)
    for i in range(len(leaves)):
        node, begins[i + 1] = leaves[i], begins[i]
        while node:
            begins[i + 1] += 1
            node = parent[node]
    tokens, span, count = np.zeros(begins[-1], np.int32), np.zeros(begins[-1], np.int32), 0
    spans, latest = np.zeros((begins[-1], 2), np.int32), np.full(len(parent), -1, np.int32)
    scores, peaks, means = np.empty(len(leaves)), np.full(begins[-1], -np.inf), np.full(len(leaves), np.nan)
    for i in range(len(leaves)):
        node, u, last = leaves[i], begins[i + 1] - 1, 0
        while node:
            tokens[u] = token[node]
            node, u = parent[node], u - 1
        node, u = leaves[i], begins[i + 1] - 1
        on_label, scores[i] = label[node] > blank[node], max(label[node], blank[node])
        for t in range(len(frames) - 1, -1, -1):
            move = moves[t, node]
            if not on_label:
                on_label = move >= 4
                continue
            last, peaks[u] = max(last, t + 1), max(peaks[u], frames[t, token[node]])
            if move & 3:
                known = latest[node]  # a prefix mostly has the same span, whatever follows it
                if known < 0 or spans[known, 0] != t or spans[known, 1] != last:
                    spans[count, 0], spans[count, 1], latest[node] = t, last, count
                    count += 1
                span[u] = latest[node]
                node, u, on_label, last = parent[node], u - 1, (move & 3) == 2, 0
        total = 0.0
        for peak in peaks[begins[i] : begins[i + 1]]:
            total += peak
        means[i] = total / (begins[i + 1] - begins[i])
    return scores, begins, tokens, span, spans[:count].T.copy(), means


@jit
def _best_moves(frames: Floats, parent: Ints, token: Ints, leaves: Ints) -> Any:
    """How each state (T, m) was best entered, and the last scores of both kinds of state (m,).

    A move is 0 where the label was entered from itself, 1 from the parent's blank, 2 from the parent's label; plus 4
    where the blank was entered from the label. What no path can be in at a frame is left out.
    """
    nodes, steps = len(parent), len(frames)
    moves = np.zeros((steps, nodes), np.uint8)
    label, blank = np.full(nodes, -np.inf), np.full(nodes, -np.inf)
    one, two, local, skips = np.empty(nodes), np.empty(nodes), np.empty(nodes), np.zeros(nodes)
    up, letter = parent.astype(np.uint32), token.astype(np.uint32)  # numbers that are never counted from the end
    up[0], blank[0] = 0, 0
    for n in range(1, nodes):
        skips[n] = -np.inf if token[up[n]] == token[n] else 0.0
    begins = _layers(parent)  # nodes come by their depth
    deepest = len(begins) - 2
    least = deepest
    for leaf in leaves:
        least = min(least, np.searchsorted(begins, leaf, "right") - 1)
    for t in range(steps):
        frame, move, silence = frames[t], moves[t], frames[t, BLANK]
        low, high = begins[max(0, least - (steps - 1 - t))], begins[min(deepest, t + 1) + 1]
        for n in range(low, high):
            one[n], two[n], local[n] = blank[up[n]], label[up[n]] + skips[n], frame[letter[n]]
        for n in range(low, high):
            stayed, silent = label[n], blank[n]
            moved = np.uint8(1) if one[n] > stayed else np.uint8(0)
            entered = one[n] if one[n] > stayed else stayed
            moved = np.uint8(2) if two[n] > entered else moved
            entered = two[n] if two[n] > entered else entered
            move[n] = moved + (np.uint8(4) if stayed > silent else np.uint8(0))
            label[n] = entered + local[n]
            blank[n] = (stayed if stayed > silent else silent) + silence
        label[0] = -np.inf
    return moves, label, blank


@jit
def _layers(parent: Ints) -> Longs:
    """Where the nodes of each depth begin, and last where they end."""
    begins = [0, 1]
    while begins[-1] < len(parent):
        end = begins[-1]
        while end < len(parent) and parent[end] < begins[-1]:
            end += 1
        begins.append(end)
    return np.array(begins)
