"""Whether one recognizer is better than another on the same utterances: the paired bootstrap of their error rates.

Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation", section 3: utterances
are drawn again with replacement, the same for both systems, and the difference of their rates is looked at. What is
hard for both is in both rates and goes away in the difference, so that far smaller differences are seen than by two
intervals that overlap.
"""

from typing import NamedTuple

import numpy as np

DRAWN_AT_ONCE = 1 << 22  # places in memory


class RateDifference(NamedTuple):
    """rate, other_rate: errors a unit of reference. difference: rate - other_rate, below 0 where ours is better, and
    its 95 % interval low to high. improvement: the share of resamples in which ours is better ("probability of
    improvement"), one half of those counted in which both are equal.
    """

    rate: float
    other_rate: float
    difference: float
    low: float
    high: float
    improvement: float

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where 0 is outside the interval, else "no clear difference"."""
        return "better" if self.high < 0 else "worse" if self.low > 0 else "no clear difference"


def paired_bootstrap(
    errors: np.ndarray, other_errors: np.ndarray, lengths: np.ndarray, *, resamples: int = 2000, seed: int = 0
) -> RateDifference:
    """errors, other_errors (N,): of both systems in each utterance; lengths (N,): of its reference, in words, say.

    Raises ValueError for none, and for arrays of different lengths.
    """
    counts = np.stack([np.asarray(column, np.int64) for column in (errors, other_errors, lengths)])
    utterances = counts.shape[1]
    if not utterances:
        raise ValueError("no utterance to compare two systems by")
    rate, other_rate = _rates(counts.sum(1)[:, None])[:, 0]
    random, found = np.random.default_rng(seed), []
    at_once = max(1, DRAWN_AT_ONCE // utterances)
    for first in range(0, resamples, at_once):
        draws = random.integers(0, utterances, (min(at_once, resamples - first), utterances))
        found.append(_rates(np.stack([column[draws].sum(1) for column in counts])))
    ours, theirs = np.concatenate(found, axis=1)
    low, high = np.percentile(ours - theirs, (2.5, 97.5))
    improvement = float((ours < theirs).mean() + (ours == theirs).mean() / 2)
    return RateDifference(
        float(rate), float(other_rate), float(rate - other_rate), float(low), float(high), improvement
    )


def _rates(counts: np.ndarray) -> np.ndarray:
    """(2, n) of (3, n): of both systems, from their errors and the references' lengths."""
    return counts[:2] / np.maximum(1, counts[2])
