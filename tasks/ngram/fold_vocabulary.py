"""A model of words as another text normalization has them: "Blue", "blue" and "BLUE" become one word.

Of the n-grams g that fold into one, with contexts h that fold into one:

    p'(w' | h') = sum_g q(g) / sum_h q(h)        b'(h') = sum_h q(h) b(h) / sum_h q(h)

q(w_1 .. w_k) = p(w_1) p(w_2 | w_1) .. p(w_k | w_1 .. w_{k-1}) says how often the model expects them. So what differs
in the last word alone is added up, and of contexts that become one each counts as much as it is probable; what was
seen after some of them only is left to the backoff for the others. Where nothing becomes one the numbers stay. A word
that folds into none, or into more than one, stays as it is.
"""

from collections.abc import Sequence

import numpy as np

from models.special_tokens import BLANK, BOS, SPECIALS
from tasks.ngram.binary_file import Arrays, StoredNGram, build_model
from tasks.text.normalization import NormalizationConfig, normalize_text


def fold_vocabulary(stored: StoredNGram, rules: NormalizationConfig) -> StoredNGram:
    """The model in normalized words; itself where all of them are."""
    words = stored.spellings[len(SPECIALS) :]
    text = " ".join(words)
    if normalize_text(text, rules) == text:
        return stored
    folded = [fold_word(word, rules) for word in words]
    spellings = (*SPECIALS, *dict.fromkeys(folded))
    number = {word: i for i, word in enumerate(spellings) if i >= len(SPECIALS)}
    ids = np.array([*range(len(SPECIALS)), *(number[word] for word in folded)])
    levels = [Arrays(*(table.cpu().numpy() for table in level)) for level in stored.model.levels]
    return StoredNGram(build_model(_folded(levels, ids, len(spellings))), spellings)


def fold_word(word: str, rules: NormalizationConfig) -> str:
    parts = normalize_text(word, rules).split()
    return parts[0] if len(parts) == 1 else word


def _folded(levels: Sequence[Arrays], ids: np.ndarray, size: int) -> list[Arrays]:
    """ids: (V,) of each token that of its folded word, of which there are `size`."""
    made: list[Arrays] = []
    node, expected, below = ids, np.zeros(0), np.zeros(0)  # the folded n-gram of each, log10 q of both
    for k, level in enumerate(levels):
        log10 = level.log10.astype(np.float64)
        if k == 0:
            keys, expected, context = np.arange(size), log10.copy(), np.zeros(size)
            expected[[BLANK, BOS]] = 0.0  # which are never predicted, but begin what follows
        else:
            parent, token = np.divmod(level.keys, len(ids))
            expected = expected[parent] + log10
            keys, node = np.unique(node[parent] * size + ids[token], return_inverse=True)
            context = below[keys // size]
        below = _sum(node, expected, len(keys))
        with np.errstate(invalid="ignore"):
            found = below - context
        found = np.where(np.isfinite(below) & np.isfinite(context), found, _most(node, log10, len(keys)))
        if k == 0:
            found[[BLANK, BOS]] = log10[[BLANK, BOS]]
        made.append(Arrays(keys, np.minimum(found, 0).astype(np.float32), _backoff(node, expected, below, level)))
    return made


def _backoff(node: np.ndarray, expected: np.ndarray, sums: np.ndarray, level: Arrays) -> np.ndarray:
    if not len(level.backoff):
        return level.backoff
    backoff = level.backoff.astype(np.float64)
    with np.errstate(invalid="ignore"):
        mixed = _sum(node, expected + backoff, len(sums)) - sums
    return np.where(np.isfinite(mixed), mixed, _most(node, backoff, len(sums))).astype(np.float32)


def _sum(node: np.ndarray, log10: np.ndarray, count: int) -> np.ndarray:
    """For each node log10 of the sum of what belongs to it."""
    most = _most(node, log10, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(np.isfinite(log10), 10.0 ** (log10 - most[node]), 0.0)
        return most + np.log10(np.bincount(node, shares, count))


def _most(node: np.ndarray, log10: np.ndarray, count: int) -> np.ndarray:
    most = np.full(count, -np.inf)
    np.maximum.at(most, node, log10)
    return most
