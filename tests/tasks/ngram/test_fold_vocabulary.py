"""Words that become one: their probabilities add up; a model in which none do stays as it is."""

import numpy as np
import pytest
import torch

from models.special_tokens import BOS, EOS, SPECIALS, UNK
from tasks.ngram.arpa_file import read_arpa
from tasks.ngram.binary_file import StoredNGram, build_model
from tasks.ngram.fold_vocabulary import fold_vocabulary
from tasks.text.normalization import NormalizationConfig

RULES = NormalizationConfig()


def model_of(tmp_path, *orders):
    """orders: for each {n-gram: (p, b)}."""
    lines = ["\\data\\", *(f"ngram {k}={len(rows)}" for k, rows in enumerate(orders, 1))]
    for k, rows in enumerate(orders, 1):
        lines.append(f"\\{k}-grams:")
        for gram, (p, b) in rows.items():
            lines.append(f"{np.log10(p) if p else -99}\t{gram}" + (f"\t{np.log10(b)}" if k < len(orders) else ""))
    (tmp_path / "lm.arpa").write_text("\n".join([*lines, "\\end\\", ""]))
    read = read_arpa(tmp_path / "lm.arpa")
    return StoredNGram(build_model(read.levels), read.spellings)


def probability(stored, *words):
    """Of the last word after the others, from the tables' own definition."""
    ids = [stored.spellings.index(word) for word in words]
    model = stored.model
    state = model.start(None, 1)

    for token in ids[:-1]:
        state = model.advance(torch.tensor([token]), state)
    return float(model.score_next(torch.tensor(ids[-1:]), state).exp())


UNIGRAMS = {"<unk>": (0.1, 1), "<s>": (0, 0.5), "</s>": (0.2, 1), "The": (0.1, 0.8), "the": (0.3, 0.4), "Cat": (0.1, 1),
            "cat": (0.1, 1), "sat": (0.1, 1)}  # fmt: skip


def test_unigrams_add_up(tmp_path):
    folded = fold_vocabulary(model_of(tmp_path, UNIGRAMS), RULES)
    assert folded.spellings == (*SPECIALS, "the", "cat", "sat")
    found = {word: probability(folded, word) for word in ("the", "cat", "sat", "<unk>", "</s>")}
    assert found == pytest.approx({"the": 0.4, "cat": 0.2, "sat": 0.1, "<unk>": 0.1, "</s>": 0.2})


def test_longer_ones_are_what_the_model_expects_of_them(tmp_path):
    """After <s> both are one context: sums. After "the", which is "The" in a quarter of the cases: a mean."""
    bigrams = {"<s> The": (0.6, 1), "<s> the": (0.2, 1), "The Cat": (0.3, 1), "The cat": (0.1, 1), "the cat": (0.2, 1),
               "cat </s>": (0.7, 1)}  # fmt: skip
    folded = fold_vocabulary(model_of(tmp_path, UNIGRAMS, bigrams), RULES)
    assert probability(folded, "<s>", "the") == pytest.approx(0.8)
    assert probability(folded, "the", "cat") == pytest.approx(0.25 * (0.3 + 0.1) + 0.75 * 0.2)
    assert probability(folded, "the", "sat") == pytest.approx((0.25 * 0.8 + 0.75 * 0.4) * 0.1)
    assert probability(folded, "cat", "</s>") == pytest.approx(0.7 / 2), "of Cat nothing is known there"
    assert probability(folded, "<s>", "sat") == pytest.approx(0.5 * 0.1)
    assert folded.model.levels[0].log10[BOS] == -np.inf


def test_only_letters_change_where_no_words_become_one(tmp_path):
    """In three orders, and in whatever order the words stand."""
    names = {"The": "zoe", "the": "The", "Cat": "Any", "cat": "But,", "sat": "sat"}
    bigrams = {"<s> The": (0.5, 0.3), "The cat": (0.4, 0.2), "Cat </s>": (0.2, 1), "the cat": (0.1, 0.9)}
    trigrams = {"<s> The cat": (0.9, 1), "The cat </s>": (0.3, 1)}

    def renamed(how):
        rows = [{" ".join(how(w) for w in gram.split()): n for gram, n in order.items()} for order in
                (UNIGRAMS, bigrams, trigrams)]  # fmt: skip
        return model_of(tmp_path, *rows)

    mixed = renamed(lambda w: names.get(w, w))
    lower = renamed(lambda w: names.get(w, w).lower().strip(","))
    assert fold_vocabulary(lower, RULES) is lower
    folded = fold_vocabulary(mixed, RULES)
    assert folded.spellings == lower.spellings
    for one, other in zip(folded.model.levels, lower.model.levels, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_what_is_no_single_word_stays(tmp_path):
    unigrams = {
        "<unk>": (0.2, 1),
        "<s>": (0, 1),
        "</s>": (0.2, 1),
        "Twenty-one": (0.2, 1),
        "---": (0.2, 1),
        "A": (0.2, 1),
    }
    folded = fold_vocabulary(model_of(tmp_path, unigrams), RULES)
    assert folded.spellings == (*SPECIALS, "Twenty-one", "---", "a")
    assert [probability(folded, w) for w in folded.spellings[EOS:]] == pytest.approx([0.2] * 5)
    assert folded.model.levels[0].log10[UNK] > -1
