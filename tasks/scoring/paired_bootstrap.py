"""Whether one recognizer is better than another on the same utterances: the paired bootstrap of their error rates.

Bisani & Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation", section 3: utterances
are drawn again with replacement, the same for both systems, and the difference of their rates is looked at. What is
hard for both is in both rates and goes away in the difference, so that far smaller differences are seen than by two
intervals that overlap.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

DRAWN_AT_ONCE = 1 << 22  # places in memory


class RateDifference(NamedTuple):
    """rate, other_rate: errors a unit of reference. difference: rate - other_rate, below 0 where ours is better, and
    its interval low to high, of 95 % unless another was asked for. improvement: the share of resamples in which ours
    is better ("probability of improvement"), one half of those counted in which both are equal.
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
    errors: np.ndarray,
    other_errors: np.ndarray,
    lengths: np.ndarray,
    *,
    resamples: int = 2000,
    seed: int = 0,
    alpha: float = 0.05,
) -> RateDifference:
    """errors, other_errors (N,): of both systems in each utterance; lengths (N,): of its reference, in words, say; or
    the sums of each speaker's utterances, which are then what is drawn. alpha: what the interval leaves out.

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
    low, high = np.percentile(ours - theirs, (50 * alpha, 100 - 50 * alpha))
    improvement = float((ours < theirs).mean() + (ours == theirs).mean() / 2)
    return RateDifference(
        float(rate), float(other_rate), float(rate - other_rate), float(low), float(high), improvement
    )


class ScoreDifference(NamedTuple):
    """As RateDifference, of scores that are functions of sums. descending: whether more is better. p_value: how often a
    difference as large comes about where there is none (Koehn 2004, https://aclanthology.org/W04-3250), as sacrebleu
    computes it, from the resamples' differences around their mean.
    """

    score: float
    other_score: float
    difference: float
    low: float
    high: float
    improvement: float
    p_value: float
    descending: bool

    @property
    def verdict(self) -> str:
        """ "better" or "worse" where 0 is outside the interval, else "no clear difference"."""
        above, below = ("better", "worse") if self.descending else ("worse", "better")
        return above if self.low > 0 else below if self.high < 0 else "no clear difference"


def paired_score_bootstrap(
    sums: np.ndarray,
    other_sums: np.ndarray,
    score: Callable[[np.ndarray], float],
    *,
    descending: bool,
    resamples: int = 1000,
    seed: int = 0,
) -> ScoreDifference:
    """sums, other_sums (N, K): what both systems add to a score in each sentence; score: of a sum (K,) over some.

    descending: whether more is better. Raises ValueError for no sentence, and for arrays of different shapes.
    """
    if not len(sums) or sums.shape != other_sums.shape:
        raise ValueError("no sentence to compare two systems by, or not the same ones")
    whole = np.stack((sums, other_sums), 1)
    mine, other = (score(total) for total in whole.sum(0))
    drawn = np.array([[score(total) for total in pair] for pair in resample_sums(whole, resamples, seed)])
    found = drawn[:, 0] - drawn[:, 1]
    low, high = np.percentile(found, (2.5, 97.5))
    better = found > 0 if descending else found < 0
    chance = (np.abs(found - found.mean()) > abs(mine - other)).sum()
    return ScoreDifference(
        mine,
        other,
        mine - other,
        float(low),
        float(high),
        float(better.mean() + (found == 0).mean() / 2),
        1.0 if mine == other else float((chance + 1) / (resamples + 1)),
        descending,
    )


def resample_sums(rows: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The sum over as many rows (N, ...) as there are, drawn again with replacement, so many times."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        times = np.bincount(random.integers(0, len(rows), len(rows)), minlength=len(rows))
        yield np.tensordot(times, rows, 1)


def _rates(counts: np.ndarray) -> np.ndarray:
    """(2, n) of (3, n): of both systems, from their errors and the references' lengths."""
    return counts[:2] / np.maximum(1, counts[2])
