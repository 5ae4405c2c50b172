"""Words in a search over smaller tokens: a lexicon, a language model of words, and words to listen for.

A text is words with spaces between. A token has letters, and may begin with a space (a piece such as " th", or the
space alone). What is fused for a text y with the words w_1 .. w_n:

    lm_weight log p_lm(w_1 .. w_n)  +  word_bonus n  +  unknown_bonus (words outside the lexicon)
        +  hotword_weight (words that are hotwords)

The search finds its way through a trie of the lexicon's and hotwords' letters. Within a word it already counts the most
that the word can still become (Ortmanns, Ney, Eiden 1996, "Language-model look-ahead"): the highest unigram score below
its node, and of a hotword the share that has been spelled. The word's end puts the exact score in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.interface import Beam, Decoder, Memory, Padded, State, Step
from models.search.language import ctc_fusion_automaton
from models.search.language.ctc_fusion_automaton import ROOT, Automaton, Floats, Ints
from models.search.language.ngram_lm import NATS, NGram
from models.special_tokens import BLANK, BOS, EOS, SPECIALS, UNK

OF_WORDS = ("word_bonus", "unknown_bonus", "hotword_weight", "lexicon_only")  # terms of a beam
ALONE = Beam(lm_weight=1.0)  # the language model by itself
NO_LETTER = 0  # in the place of a special's: no word goes on with it


class Trie(NamedTuple):
    """Nodes in the order of their depth, so that a node's children lie side by side; the last one is outside."""

    first: Ints  # (nodes + 1,)
    letter: Ints  # (nodes,) as a code point; 0 leads nowhere
    parent: Ints
    depth: Ints
    end: Ints  # of each word the node where it ends


class TokenSpelling(NamedTuple):
    """How the tokens are written, as models/search/language/ctc_fusion_automaton.py says."""

    spaced: Ints
    begin: Ints
    text: Ints
    groups: Ints
    members: Ints


class WeightedTrie(NamedTuple):
    """For each node of the trie what models/search/language/ctc_fusion_automaton.py says of it."""

    word: Ints
    pending: Floats
    ends: Floats


@dataclass(frozen=True, eq=False)
class LexiconAndHotwords:
    """What a search is given in the place of a language model where it is to know of words; a `Decoder` itself.

    By itself it is the model of words over the emissions' tokens, so that every search can fuse it: a token's
    log-probability is what the text's rises by, look-ahead included. Or else it is the model of tokens.

    texts: what each token adds to the text, with the space it begins with; "" for the special ones. ngram: a model
    whose tokens are words, written as its `spellings` say; words outside the lexicon are <unk> to it. tokens: a model
    of the emissions' tokens instead.
    Raises ValueError naming a word that no tokens spell, and for parts that do not fit together.
    """

    texts: tuple[str, ...]
    lexicon: tuple[str, ...]
    hotwords: tuple[str, ...] = ()
    ngram: NGram | None = None
    spellings: tuple[str, ...] = ()
    tokens: Decoder | None = None

    def __post_init__(self) -> None:
        if self.ngram is not None and self.tokens is not None:
            raise ValueError("one language model at a time: of words (ngram) or of tokens")
        if self.ngram is not None and self.ngram.size != len(self.spellings):
            raise ValueError(f"the word model has {self.ngram.size} tokens, but {len(self.spellings)} spellings")
        for text in self.texts:
            if " " in text[1:]:
                raise ValueError(f"the token {text!r} holds a space after its beginning: words are not told apart")
        for word in find_unspelled([*self.lexicon, *self.hotwords], self.texts):
            raise ValueError(f"the word {word!r} cannot be spelled with the model's tokens: take it out")

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The words of the trie, in order."""
        return tuple(sorted({*self.lexicon, *self.hotwords}))

    @cached_property
    def trie(self) -> Trie:
        return build_trie(self.known)

    @cached_property
    def spelling(self) -> TokenSpelling:
        texts = [text or chr(NO_LETTER) for text in self.texts]
        spaced = np.array([text.startswith(" ") for text in texts], np.int32)
        written = [text.removeprefix(" ") for text in texts]
        begin, text = np.cumsum([0, *map(len, written)]).astype(np.int32), self.letters(_code_points(written))
        heads = [(int(text[begin[c]]), c) for c in range(len(texts)) if written[c] and not spaced[c]]
        members = np.array([c for _, c in sorted(heads)], np.int32)
        groups = np.searchsorted(sorted(head for head, _ in heads), np.arange(len(self.alphabet) + 1))
        return TokenSpelling(spaced, begin, text, groups.astype(np.int32), members)

    @cached_property
    def alphabet(self) -> Ints:
        """The code points of the tokens' letters in order, NO_LETTER first."""
        return np.unique(np.append(_code_points(self.texts), np.int32(NO_LETTER)))

    def letters(self, code_points: Ints) -> Ints:
        """As numbers of the alphabet."""
        return np.searchsorted(self.alphabet, code_points).astype(np.int32)

    def encode(self, source: Padded | None) -> Padded | None:  # noqa: ARG002  (the protocol's)
        return None

    def start(self, memory: Memory | None, batch_size: int) -> State:
        if self.tokens is not None:
            return self.tokens.start(memory, batch_size)
        return torch.zeros((batch_size, ctc_fusion_automaton.state_size(_automaton(self)[0])), dtype=torch.long)

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        if self.tokens is not None:
            return self.tokens.step(tokens, state, memory)
        machine, held = _automaton(self)
        after, rows = state.cpu().clone(), torch.empty((len(tokens), len(self.texts) + 1), dtype=torch.float64)
        ctc_fusion_automaton.step(machine, tokens.cpu().numpy(), after.numpy(), rows.numpy())
        del held
        rows[:, EOS] = rows[:, -1]
        rows[:, [BLANK, BOS]] = -torch.inf
        return Step(rows[:, :-1].to(tokens.device), after.to(tokens.device))


@lru_cache(maxsize=4)
def _automaton(words: LexiconAndHotwords) -> tuple[Automaton, tuple[Tensor, ...]]:
    """Of the words by themselves; not kept with them, for it holds addresses, which say nothing to another process."""
    return build_automaton(ALONE, None, words)


def build_automaton(
    beam: Beam, ngram: NGram | None, words: LexiconAndHotwords | None
) -> tuple[Automaton, tuple[Tensor, ...]]:
    """What a search fuses, but for a neural model, and the arrays that it is to hold on to meanwhile.

    ngram: the model of tokens.
    """
    used = words if words and (words.ngram and beam.lm_weight or any(getattr(beam, n) for n in OF_WORDS)) else None
    tokens, first = ctc_fusion_automaton.ngram_tables(ngram)
    of_words, second = ctc_fusion_automaton.ngram_tables(used.ngram if used and beam.lm_weight else None)
    none, no_weights = np.zeros(0, np.int32), np.zeros(0)
    machine = Automaton(
        tokens=tokens,
        words=of_words,
        first=none,
        letter=none,
        word=none,
        pending=no_weights,
        ends=no_weights,
        opening=no_weights,
        spaced=none,
        begin=none,
        text=none,
        groups=none,
        members=none,
        weights=np.array([beam.lm_weight * NATS, beam.insertion_bonus]),
    )
    if used:
        letter, parts = used.letters(used.trie.letter), weigh_trie(used, beam)._asdict() | used.spelling._asdict()
        machine = machine._replace(first=used.trie.first, letter=letter, opening=np.zeros(len(used.texts)), **parts)
        ctc_fusion_automaton.open_words(machine)
    return machine, first + second


@lru_cache(maxsize=4)
def weigh_trie(words: LexiconAndHotwords, beam: Beam) -> WeightedTrie:
    """The trie with the beam's weights in it."""
    trie, ids = words.trie, {word: i for i, word in enumerate(words.spellings) if i >= len(SPECIALS)}
    nodes, scale = len(trie.letter), beam.lm_weight * NATS if words.ngram and beam.lm_weight else 0.0
    unigrams = words.ngram.levels[0].log10.double().cpu().numpy() if words.ngram else np.zeros(UNK + 1)
    word = np.full(nodes, UNK, np.int32)
    word[trie.end] = [ids.get(w, UNK) for w in words.known]
    hot, hotwords = np.zeros(nodes), set(words.hotwords)
    hot[trie.end] = [w in hotwords for w in words.known]
    unknown = -np.inf if beam.lexicon_only else beam.unknown_bonus
    ends = np.full(nodes, beam.word_bonus + unknown)
    ends[trie.end] = beam.word_bonus + beam.hotword_weight * hot[trie.end]
    ahead = np.full(nodes, -np.inf)
    ahead[trie.end] = scale * unigrams[word[trie.end]] if scale else 0.0
    hoped = _hoped(trie, hot)
    for depth in range(int(trie.depth[:-1].max()), 1, -1):
        rows = np.flatnonzero(trie.depth[:-1] == depth)
        np.maximum.at(ahead, trie.parent[rows], ahead[rows])
    outside = unknown + (scale * unigrams[UNK] if scale else 0.0)
    pending = np.maximum(ahead, outside) + beam.hotword_weight * hoped
    pending[ROOT] = 0
    return WeightedTrie(word, pending, ends)


def _hoped(trie: Trie, hot: Floats) -> Floats:
    """The share of a hotword that has been spelled at each node."""
    hoped = np.zeros(len(hot))
    for end in np.flatnonzero(hot):
        node, length = end, trie.depth[end]
        while node != ROOT:
            hoped[node] = max(hoped[node], trie.depth[node] / length)
            node = trie.parent[node]
    return hoped


def build_trie(words: Sequence[str]) -> Trie:
    """Of words in order, each of them once."""
    letters, lengths = _code_points(words), np.array([len(word) for word in words], np.int64)
    starts = np.cumsum(lengths) - lengths
    end = np.full(len(words), ROOT, np.int32)
    layers = [(np.array([-1]), np.array([NO_LETTER]))]
    nodes = 1
    for depth in range(int(lengths.max(initial=0))):
        rows = np.flatnonzero(lengths > depth)
        parent, letter = end[rows], letters[starts[rows] + depth]
        new = np.append(True, (parent[1:] != parent[:-1]) | (letter[1:] != letter[:-1]))  # noqa: FBT003  (an array's)
        end[rows] = nodes - 1 + np.cumsum(new)
        layers.append((parent[new], letter[new]))
        nodes += int(new.sum())
    parents = np.concatenate([parent for parent, _ in layers] + [[-1]]).astype(np.int32)
    found = np.concatenate([letter for _, letter in layers] + [[NO_LETTER]]).astype(np.int32)
    depth = np.repeat(np.arange(len(layers) + 1), [len(parent) for parent, _ in layers] + [1]).astype(np.int32)
    first = 1 + np.searchsorted(parents[1:-1], np.arange(nodes + 2))
    return Trie(first.astype(np.int32), found, parents, depth, end)


def _code_points(words: Sequence[str]) -> Ints:
    return np.frombuffer("".join(words).encode("utf-32-le"), np.int32).copy()


def find_unspelled(words: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Those that no sequence of tokens spells, and those that are no words at all: empty, or with a space inside."""
    pieces = {text.removeprefix(" ") for text in texts} - {""}
    inner = {text for text in texts if text and not text.startswith(" ")}
    letters, longest = {piece for piece in inner if len(piece) == 1}, max(map(len, pieces), default=0)

    def spells(word: str) -> bool:
        if word.split() != [word]:
            return False
        if letters.issuperset(word):
            return True
        reached = {0}
        for at in range(len(word)):
            if at in reached:
                known = inner if at else pieces
                reached |= {at + n for n in range(1, longest + 1) if word[at : at + n] in known}
        return len(word) in reached

    return [word for word in words if not spells(word)]
