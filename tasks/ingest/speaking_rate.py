"""Transcripts too long or too short for their audio: characters a second far from those of the corpus.

By median and median absolute deviation of the logarithm, which some wrong rows do not move. What no container can tell
(half a recording in a file that says nothing of its length), and what is wrong in the table itself, shows here.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

LEAST_ROWS = 10  # fewer say nothing of what is usual
DEVIATIONS, LEAST_FACTOR = 3.5, 1.5  # a row is far off beyond both; half of the audio is a factor of 2
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
LONG, SHORT = "transcript long for its audio", "transcript short for its audio"


class SpeakingRate(NamedTuple):
    """median: of the logarithm of characters a second. tolerance: how far from it is usual; infinite where unknown."""

    median: float
    tolerance: float

    def flags(self, rows: pa.Table) -> list[str]:
        """LONG, SHORT or "" for each row of an index."""
        off = log_rates(rows) - self.median
        return [LONG if far > self.tolerance else SHORT if far < -self.tolerance else "" for far in off.tolist()]


def log_rates(rows: pa.Table) -> np.ndarray:
    """Of each row of an index the logarithm of characters (without blanks) a second, NaN where it has no seconds."""
    characters = [len("".join(text.split())) for text in rows["text"].to_pylist()]
    seconds = np.array(rows["seconds"].to_pylist(), float)
    return np.log(np.maximum(characters, 1) / np.where(seconds > 0, seconds, np.nan))


def fit_speaking_rate(rates: np.ndarray) -> SpeakingRate:
    """From the logarithms of all rows; NaN are left out."""
    known = rates[np.isfinite(rates)]
    if len(known) < LEAST_ROWS:
        return SpeakingRate(0.0, np.inf)
    median = float(np.median(known))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(known - median)))
    return SpeakingRate(median, max(DEVIATIONS * deviation, float(np.log(LEAST_FACTOR))))
