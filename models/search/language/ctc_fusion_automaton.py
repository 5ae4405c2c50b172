"""What a CTC search fuses into its scores, compiled: an automaton over the tokens of a prefix.

    fused(y) = lm_weight log p_lm(y) + insertion_bonus |y|                          a language model of tokens
             + lm_weight log p_lm(w_1 .. w_n) + word_bonus n + ...                  one of words:
             lexicon_and_hotwords.py

Its state is a row of integers: the nodes of the token n-gram (models/search/language/ngram_lm.py has the tables and
what a node is), the node in the trie of words, the nodes of the word n-gram. What each next token adds depends on the
state alone.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.search import numba_jit as compilation
from models.search.language.ngram_lm import NGram
from models.search.numba_jit import borrowed, cached_jit, float32s, int64s, jit

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float64]

BLANK, BOS, EOS = 0, 1, 2  # of models/special_tokens.py, as numbers that are compiled in
ABSENT = -1  # of models/search/language/ngram_lm.py
KEYS, LOG10, BACKOFF, COUNT = 0, 1, 2, 3  # columns of an n-gram's table: three addresses and the number of n-grams
ROOT = 0  # of the trie of words: between two words


class Automaton(NamedTuple):
    """What a search fuses. Scores are in nats and weighted; an n-gram's table (order, 4) is empty where there is none.

    first .. ends: the trie of words, a row for each node and a last one for what is outside; all empty without words.
    """

    tokens: Longs  # the n-gram over the emissions' tokens
    words: Longs  # the n-gram over words
    first: Ints  # the children of node n are first[n] .. first[n + 1] - 1, their letters ascending
    letter: Ints  # that leads into a node, as a number; 0 is none
    word: Ints  # the word n-gram's token for the word that ends at a node
    pending: Floats  # what is fused ahead of a word's end
    ends: Floats  # what a word's end adds beside its n-gram; -inf where no word may end
    opening: Floats  # (V,) what is pending after a token where a word may begin
    spaced: Ints  # (V,) 1 where a token begins with a space
    begin: Ints  # (V + 1,) the letters of token c are text[begin[c]] .. text[begin[c + 1] - 1]
    text: Ints
    groups: (
        Ints  # the tokens that begin with letter a, and no space, are members[groups[a]] .. members[groups[a + 1] - 1]
    )
    members: Ints
    weights: Floats  # of log10 p, and of each token


def ngram_tables(ngram: NGram | None) -> tuple[Longs, tuple[Tensor, ...]]:
    """Where an n-gram's arrays lie, a row for each order, and the arrays: they are to be held on to."""
    held: list[Tensor] = []
    rows = []
    for level in ngram.levels if ngram else ():
        arrays = [t.cpu().contiguous() for t in (level.keys.long(), level.log10.float(), level.backoff.float())]
        rows.append([*(array.data_ptr() for array in arrays), len(level.keys)])
        held += arrays
    return np.array(rows, np.int64).reshape(-1, 4), tuple(held)


def state_size(machine: Automaton) -> int:
    """In a state of the machine."""
    return 1 + max(0, len(machine.tokens) - 1) + max(0, len(machine.words) - 1)


@jit
def _first(keys: Longs, wanted: int) -> int:
    """The place of the first key that is not below the one that is wanted."""
    low, left = 0, len(keys)
    while left > 0:
        half = left >> 1
        below = keys[low + half] < wanted
        low = low + half + 1 if below else low
        left = left - half - 1 if below else half
    return low


@jit
def _find(table: Longs, k: int, context: int, token: int) -> int:
    """The node of an n-gram of k + 1 tokens."""
    if context == ABSENT:
        return ABSENT
    keys, wanted = int64s(table[k, KEYS], table[k, COUNT]), context * table[0, COUNT] + token
    place = _first(keys, wanted)
    return place if place < len(keys) and keys[place] == wanted else ABSENT


@jit
def _read(table: Longs, state: Longs, token: int) -> None:
    """An n-gram's state (order - 1,) after one more token."""
    for k in range(len(table) - 2, 0, -1):
        state[k] = _find(table, k, state[k - 1], token)
    if len(table) > 1:
        state[0] = token


@jit
def _log10(table: Longs, state: Longs, token: int) -> float:
    """Of the probability of one token after a state."""
    score = 0.0
    for k in range(len(table) - 1, 0, -1):
        node = _find(table, k, state[k - 1], token)
        if node != ABSENT:
            return score + float32s(table[k, LOG10], table[k, COUNT])[node]
        if state[k - 1] != ABSENT:
            score += float32s(table[k - 1, BACKOFF], table[k - 1, COUNT])[state[k - 1]]
    return score + float32s(table[0, LOG10], table[0, COUNT])[token]


@jit
def _log10s(table: Longs, state: Longs, row: Floats) -> None:
    """The same of every token, into row (V,)."""
    size = table[0, COUNT]
    row[:size] = float32s(table[0, LOG10], size)
    for k in range(1, len(table)):
        node, count = state[k - 1], table[k, COUNT]
        if node == ABSENT:
            continue
        weight = float32s(table[k - 1, BACKOFF], table[k - 1, COUNT])[node]
        for c in range(size):
            row[c] += weight
        keys, logs = int64s(table[k, KEYS], count), float32s(table[k, LOG10], count)
        low = _first(keys, node * size)
        while low < count and keys[low] < (node + 1) * size:
            row[keys[low] - node * size] = logs[low]
            low += 1


@jit
def _child(machine: Automaton, node: int, letter: int) -> int:
    """Where a letter leads in the trie of words; its last row is outside."""
    low, end = machine.first[node], machine.first[node + 1]
    high = end
    while low < high:
        middle = (low + high) >> 1
        if machine.letter[middle] < letter:
            low = middle + 1
        else:
            high = middle
    return low if low < end and machine.letter[low] == letter else len(machine.word) - 1


@jit
def _spell(machine: Automaton, node: int, token: int, known: int) -> int:
    """Where the letters of a token lead, but for the first so many."""
    for i in range(machine.begin[token] + known, machine.begin[token + 1]):
        node = _child(machine, node, machine.text[i])
    return node


@jit
def _end_word(machine: Automaton, state: Longs, node: int) -> float:
    """What the end of the word at a node adds; the word n-gram's state has read it then."""
    gain = machine.ends[node] - machine.pending[node]
    if len(machine.words) and gain > -np.inf:
        gain += machine.weights[0] * _log10(machine.words, state, machine.word[node])
        _read(machine.words, state, machine.word[node])
    return gain


@jit
def begin_state(machine: Automaton, state: Longs) -> None:
    """The machine's state before any token, into state (S,)."""
    at = max(0, len(machine.tokens) - 1)
    state[:] = ABSENT
    state[at] = ROOT
    _read(machine.tokens, state[:at], BOS)
    _read(machine.words, state[at + 1 :], BOS)


@jit
def advance_state(machine: Automaton, state: Longs, token: int) -> None:
    """The machine's state after one more token."""
    at = max(0, len(machine.tokens) - 1)
    _read(machine.tokens, state[:at], token)
    if len(machine.word):
        node = state[at]
        if machine.spaced[token] and node != ROOT:
            _end_word(machine, state[at + 1 :], node)
            node = ROOT
        state[at] = _spell(machine, node, token, 0)


@jit
def token_weights(machine: Automaton, state: Longs, row: Floats) -> None:
    """What each token adds after a state, and last what the end of the text adds, into row (V + 1,)."""
    at, size, bonus = max(0, len(machine.tokens) - 1), len(row) - 1, machine.weights[1]
    if len(machine.word):
        _weigh_words(machine, state[at:], row)
    else:
        row[:] = 0
    if len(machine.tokens):
        logs = np.empty(size)
        _log10s(machine.tokens, state[:at], logs)
        for c in range(size):
            row[c] += machine.weights[0] * logs[c] + bonus
        row[size] += machine.weights[0] * logs[EOS]
    else:
        for c in range(size):
            row[c] += bonus


@jit
def _weigh_words(machine: Automaton, state: Longs, row: Floats) -> None:
    """The same of the words alone: of their trie's node and their n-gram's state after it."""
    node, size = state[0], len(row) - 1
    ended = machine.ends[node] - machine.pending[node] if node != ROOT else 0.0
    row[size] = ended
    if len(machine.words) and ended > -np.inf:
        history = state[1:].copy()
        if node != ROOT:
            ended = _end_word(machine, history, node)
        row[size] = ended + machine.weights[0] * _log10(machine.words, history, EOS)
    outside = machine.pending[len(machine.word) - 1] - machine.pending[node]
    for c in range(size):
        row[c] = ended + machine.opening[c] if machine.spaced[c] else outside
    for child in range(machine.first[node], machine.first[node + 1]):
        for i in range(machine.groups[machine.letter[child]], machine.groups[machine.letter[child] + 1]):
            c = machine.members[i]
            row[c] = machine.pending[_spell(machine, child, c, 1)] - machine.pending[node]


@cached_jit(compilation)
def step(machine: Automaton, tokens: Longs, state: Longs, rows: Floats) -> None:
    """States (N, S) after one more token (N,) each, in place; what `token_weights` says of them into rows (N, V + 1).

    BOS begins a text.
    """
    machine, state, rows = borrowed(machine), borrowed(state), borrowed(rows)
    for n in range(len(tokens)):
        if tokens[n] == BOS:
            begin_state(machine, state[n])
        else:
            advance_state(machine, state[n], tokens[n])
        token_weights(machine, state[n], rows[n])


@cached_jit(compilation)
def open_words(machine: Automaton) -> None:
    """Fills in what is pending after each token where a word may begin."""
    machine = borrowed(machine)
    for c in range(len(machine.opening)):
        machine.opening[c] = machine.pending[_spell(machine, ROOT, c, 0)]
