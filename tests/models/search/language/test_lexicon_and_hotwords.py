"""Words as a language model, how they are spelled, and what of them is refused."""

import math
import pickle

import pytest
import torch
from ctc_reference import Bigrams
from ngram_tables import Tables
from word_terms import LETTERS, LEXICON, PIECES, SPELLINGS, Fused, emissions_of, given

from models.interface import Beam, Decoder
from models.search.ctc.beam import ctc_beam
from models.search.language import lexicon_and_hotwords as module
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords, build_trie, find_unspelled, weigh_trie
from models.search.language.ngram_lm import Level, NGram
from models.special_tokens import BOS, EOS, SPECIALS, UNK


@pytest.mark.parametrize("texts", [LETTERS, PIECES], ids=["letters", "pieces"])
def test_words_are_a_language_model_for_every_search(texts):
    """Step by step, it says what the search has fused; whole sentences have their probability."""
    words, tables = given({"lm_weight": 1.0}, texts, order=3)
    assert isinstance(words, Decoder)
    fused = Fused(Beam(lm_weight=1.0), words, tables)
    generator = torch.Generator().manual_seed(0)
    for length in (0, 1, 4, 9):
        y = torch.randint(UNK + 1, len(texts), (2, length), generator=generator)
        log_probs, state, _ = words.step(torch.full((2,), BOS), words.start(None, 2), None)
        total = torch.zeros(2, dtype=torch.float64)
        for column in y.unbind(1):
            total += log_probs.gather(1, column[:, None])[:, 0]
            log_probs, state, _ = words.step(column, state, None)
        assert total.tolist() == pytest.approx([fused.ahead(row) for row in y.tolist()], abs=1e-6)
        total += log_probs[:, EOS]
        assert total.tolist() == pytest.approx([fused.whole(row) for row in y.tolist()], abs=1e-6)
        assert (log_probs[:, [0, BOS]] == -math.inf).all()


def test_words_that_do_not_fit_are_refused():
    tables = Tables(2, size=len(SPELLINGS))
    for parts, message in (
        ({"lexicon": ("ab", "abc")}, "'abc' cannot be spelled"),
        ({"hotwords": ("c",)}, "'c' cannot be spelled"),
        ({"hotwords": ("a b",)}, "'a b' cannot be spelled"),
        ({"lexicon": ("",)}, "'' cannot be spelled"),
        ({"ngram": tables.trie(), "spellings": SPELLINGS[1:]}, "8 tokens, but 7 spellings"),
        ({"ngram": tables.trie(), "spellings": SPELLINGS, "tokens": Bigrams(7)}, "one language model"),
        ({"texts": (*LETTERS[:-1], "a b")}, "'a b' holds a space"),
    ):
        with pytest.raises(ValueError, match=message):
            LexiconAndHotwords(**({"texts": LETTERS, "lexicon": LEXICON} | parts))
    with pytest.raises(ValueError, match="knows 7 tokens, the emissions 8"):
        ctc_beam(emissions_of(PIECES, 0, (3,)), Beam(word_bonus=1.0), LexiconAndHotwords(LETTERS, LEXICON))
    emissions = emissions_of(LETTERS, 0, (3, 2))
    emissions.data[1, 1, 2] = math.nan
    with pytest.raises(ValueError, match="utterance 2 of 2 hold NaN at step 1"):
        ctc_beam(emissions, Beam())


def test_a_word_is_spelled_by_pieces_or_not():
    assert find_unspelled(["aab", "baa", "bab", "ab", "b"], PIECES) == []
    assert find_unspelled(["bab", "ab", "cab"], (" ba", "b")) == ["ab", "cab"]  # " a" is no piece, and "a" none either


def test_the_trie_of_a_lexicon():
    words = sorted({"a", "ab", "abc", "b", "bab", "cc", "é"})
    trie = build_trie(words)
    spelled = []
    for node in trie.end:
        letters = ""
        while node:
            letters = chr(trie.letter[node]) + letters
            assert trie.first[trie.parent[node]] <= node < trie.first[trie.parent[node] + 1]
            node = trie.parent[node]
        spelled.append(letters)
    assert spelled == words
    assert build_trie([]).first.tolist() == [1, 1, 1]


def test_whole_numbers_weigh_as_much_as_others():
    """Half a hotword is worth half its weight, whichever kind of number says so, and whatever was asked before."""
    words = LexiconAndHotwords(("", "", "", "", " ", "a", "b"), ("ab", "ba"), ("aba",))
    for zero in (0, 0.0):
        whole = weigh_trie(words, Beam(hotword_weight=5, word_bonus=zero, unknown_bonus=zero))
        exact = weigh_trie(words, Beam(hotword_weight=5.0, word_bonus=0.0, unknown_bonus=0.0))
        assert all((a == b).all() for a, b in zip(whole, exact, strict=True))
        assert whole.ends.dtype == whole.pending.dtype == float
        assert sorted(whole.pending)[-3:] == pytest.approx([5 / 3, 10 / 3, 5])


def test_the_machine_of_a_lexicon_is_built_once(monkeypatch):
    built, real = [], module.build_automaton
    monkeypatch.setattr(module, "build_automaton", lambda *given: built.append(given) or real(*given))
    ngram = NGram((Level(torch.arange(5), -torch.arange(1.0, 6.0), torch.empty(0)),))
    words = LexiconAndHotwords(LETTERS, LEXICON[:1], ngram=ngram, spellings=(*SPECIALS, LEXICON[0]))
    state = words.start(None, 2)
    for token in (1, 5, 6, 4):
        _, state, _ = words.step(torch.tensor([token, token]), state, None)
    assert len(built) == 1
    again = pickle.loads(pickle.dumps(words))
    assert torch.equal(again.step(torch.tensor([1]), again.start(None, 1), None).log_probs,
                       words.step(torch.tensor([1]), words.start(None, 1), None).log_probs)  # fmt: skip
