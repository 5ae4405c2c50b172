"""Minimum Bayes risk: of what a search has found, the text that the others agree with most.

gain(y) = sum_y' p(y') BLEU(y, y'),  p(y') ~ exp(scale * score(y')), both of the hypotheses of one source

Kumar & Byrne 2004, https://aclanthology.org/N04-1022, section 3; the scale is Ehling, Zens & Ney's alpha (2007,
https://aclanthology.org/P07-2026): near 0 all count alike, and the larger it is the more the most probable counts
alone. BLEU is of one sentence, over n-grams of tokens, and one is added to the matches and to the number of those of
two tokens and more (Lin & Och 2004, https://aclanthology.org/C04-1072).
"""

import math
from collections import Counter
from collections.abc import Sequence

from models.interface import Hypothesis

ORDER = 4


def sort_by_gain(nbest: Sequence[Hypothesis], scale: float) -> list[Hypothesis]:
    """The hypotheses of a source by their gain, best first, with the scores they have; of equal ones the better."""
    best = max(h.score for h in nbest)
    if best == -math.inf:  # no text was possible
        return list(nbest)
    counts = [_ngrams(h.tokens) for h in nbest]
    weights = [math.exp(scale * (h.score - best)) for h in nbest]
    gains = [math.fsum(w * _bleu(own, of) for w, of in zip(weights, counts, strict=True)) for own in counts]
    return [nbest[i] for i in sorted(range(len(nbest)), key=lambda i: (-gains[i], -nbest[i].score))]


def sentence_bleu(tokens: Sequence[int], reference: Sequence[int]) -> float:
    """In [0, 1]; an empty text agrees with an empty one only."""
    return _bleu(_ngrams(tokens), _ngrams(reference))


def _ngrams(tokens: Sequence[int]) -> list[Counter[tuple[int, ...]]]:
    return [Counter(zip(*(tokens[i:] for i in range(n)), strict=False)) for n in range(1, ORDER + 1)]


def _bleu(said: list[Counter[tuple[int, ...]]], reference: list[Counter[tuple[int, ...]]]) -> float:
    length, expected = said[0].total(), reference[0].total()
    if not length or not expected:
        return float(length == expected)
    log_precision = 0.0
    for n, (own, other) in enumerate(zip(said, reference, strict=True)):
        matches, more = sum(min(count, other[g]) for g, count in own.items()), int(n > 0)
        if not matches + more:
            return 0.0
        log_precision += math.log((matches + more) / (own.total() + more))
    return math.exp(log_precision / ORDER + min(0.0, 1 - expected / length))
