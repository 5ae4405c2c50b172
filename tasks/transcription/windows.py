"""Where a long recording is cut: spans of speech and silence that add up to it, and the windows that are decoded."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

QUIET_SECONDS = 0.2  # the closure of a stop in the middle of a word is shorter
Fate = Literal["speech", "silence", "failed"]


class Span(NamedTuple):
    """A piece of a recording, in its own samples (or frames, where it holds those), [begin, end)."""

    begin: int
    end: int
    fate: Fate = "speech"


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """max_seconds: speech of up to so many seconds is decoded as one window; what is longer is cut where it is quietest
    into windows that share overlap_seconds, so that a word at a seam is whole in one of two.
    """

    max_seconds: float = 20.0
    overlap_seconds: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap_seconds <= self.max_seconds or self.max_seconds < 1:
            raise ValueError("windows.max_seconds is at least 1, and overlap_seconds at most half of it")


class WindowCutter:
    """Cuts speech of any length as it comes, in the middle of the quietest QUIET_SECONDS that leave windows of half
    their longest length at least (a quarter, where two are enough); neighbors share what lies around the cut.
    """

    def __init__(self, rate: int, config: WindowConfig) -> None:
        self.longest = max(2, int(config.max_seconds * rate))
        self.shared = min(int(config.overlap_seconds * rate), self.longest // 2)
        self.hop, self.quiet = max(1, rate // 100), max(1, round(QUIET_SECONDS * 100))

    @property
    def awaited(self) -> int:
        """Samples of speech that has not ended: with more, a window is cut off."""
        return 2 * self.longest

    def cut(self, samples: np.ndarray, *, ended: bool) -> tuple[list[tuple[int, int]], int]:
        """Windows [begin, end) of speech (n,), or given frames (n, D), and where among them the next one begins."""
        found, at, half = list[tuple[int, int]](), 0, self.shared // 2
        while len(samples) - at > (self.longest if ended else self.awaited):
            left = len(samples) - at
            low, high = self.longest // 2, self.longest - self.shared + half
            if left <= 2 * self.longest - self.shared:
                quarter = self.longest // 4
                low, high = max(quarter, left - self.longest + half), min(high, left - quarter)
            low = max(low, half + 1)
            place = at + self._quietest(samples[at + low : at + max(low, high) + 1]) + low
            found.append((at, min(place + self.shared - half, at + self.longest)))
            at = place - half
        if ended and at < len(samples):
            found.append((at, len(samples)))
            at = len(samples)
        return found, at

    def _quietest(self, samples: np.ndarray) -> int:
        """The middle of the quietest stretch, of several the last. Of cepstra the first is the log energy."""
        power = (samples.astype(np.float64) - samples.mean()) ** 2 if samples.ndim == 1 else np.exp(samples[:, 0])
        edges = np.arange(0, max(1, len(power) - self.hop + 1), self.hop)
        hops = np.add.reduceat(power, edges)[: max(1, len(power) // self.hop)]
        width = min(self.quiet, len(hops))
        smooth = np.convolve(hops, np.ones(width), "valid")
        last = len(smooth) - 1 - int(smooth[::-1].argmin())
        return min((2 * last + width) * self.hop // 2, len(samples) - 1)
