"""What a search fuses of words, by its definitions."""

import math

import torch
from ngram_tables import Tables

from models.interface import Padded
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.special_tokens import BOS, EOS, SPECIALS, UNK

LETTERS = ("", "", "", "", "a", "b", " ")
PIECES = ("", "", "", "", " a", "a", "b", " ba")
LEXICON = ("a", "ab", "ba", "bab")
# Of the word model's tokens: some are not in the lexicon, some not here.
SPELLINGS = (*SPECIALS, "a", "ab", "bb", "aba")


def emissions_of(texts, seed, lengths, never=(BOS, EOS)):
    """Random; the special tokens are as improbable as a trained model has them, some impossible."""
    torch.manual_seed(seed)
    rows = []
    for n in lengths:
        scores = 2 * torch.randn(n, len(texts), dtype=torch.float64)
        scores[:, list(never)] = -torch.inf
        rows.append(scores.log_softmax(-1))
    return Padded.stack(rows)


class Fused:
    """The terms of words by their definitions: of a whole text, and of one that may go on."""

    def __init__(self, beam, words, tables=None):
        self.beam, self.words, self.tables = beam, words, tables
        self.known = {*words.lexicon, *words.hotwords}

    def split(self, y):
        """The words, and whether the last one has ended."""
        text = "".join(self.words.texts[c] or "?" for c in y)
        return text.split(), text.endswith(" ") or not text

    def bonus(self, word):
        unknown = word not in self.known
        if unknown and self.beam.lexicon_only:
            return -math.inf
        hot = self.beam.hotword_weight if word in self.words.hotwords else 0
        return self.beam.word_bonus + hot + (self.beam.unknown_bonus if unknown else 0)

    def ids(self, words):
        return [SPELLINGS.index(w) if w in SPELLINGS and w in self.known else UNK for w in words]

    def log_prob(self, words, end=True):
        if self.tables is None or not self.beam.lm_weight:
            return 0.0
        read = [BOS, *self.ids(words), *[EOS] * end]
        return math.log(10) * sum(self.tables.look_up(read[:i], read[i]) for i in range(1, len(read)))

    def whole(self, y):
        words, _ = self.split(y)
        score = self.beam.lm_weight * self.log_prob(words) + sum(map(self.bonus, words))
        return score + self.beam.insertion_bonus * len(y)

    def ahead(self, y):
        """What the search has fused by then: the last word, where it has not ended, counts the most it can become."""
        words, ended = self.split(y)
        partial = "" if ended else words.pop()
        score = self.beam.lm_weight * self.log_prob(words, end=False) + sum(map(self.bonus, words))
        if partial:
            unknown = -math.inf if self.beam.lexicon_only else self.beam.unknown_bonus + self.unigram("?")
            below = [self.unigram(w) for w in self.known if w.startswith(partial)]
            hot = [len(partial) / len(w) for w in self.words.hotwords if w.startswith(partial)]
            score += max([unknown, *below]) + self.beam.hotword_weight * max(hot, default=0)
        return score + self.beam.insertion_bonus * len(y)

    def unigram(self, word):
        if self.tables is None or not self.beam.lm_weight:
            return 0.0
        return self.beam.lm_weight * math.log(10) * self.tables.log10[tuple(self.ids([word]))]


TERMS = [
    {"lm_weight": 0.7},
    {"lm_weight": 0.7, "word_bonus": 0.9, "insertion_bonus": -0.2},
    {"lm_weight": 0.5, "unknown_bonus": -1.5, "hotword_weight": 1.1},
    {"lm_weight": 0.5, "lexicon_only": True, "word_bonus": -0.4},
    {"lexicon_only": True},
    {"lexicon_only": True, "hotword_weight": 2.0},
    {"hotword_weight": 1.5, "unknown_bonus": 0.8},
    {"word_bonus": -1.2},
]


def given(terms, texts, order=2):
    """The words, and the tables of their model where a term asks for one."""
    tables = Tables(order, seed=order, size=len(SPELLINGS)) if terms.get("lm_weight") else None
    hotwords = ("bab", "bb", "aba") if terms.get("hotword_weight") else ()
    model = {"ngram": tables.trie(), "spellings": SPELLINGS} if tables else {}
    return LexiconAndHotwords(texts, LEXICON, hotwords, **model), tables
