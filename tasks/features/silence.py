"""Silence around and between utterances, in log power: what a recording of hours has and single clips do not."""

from collections.abc import Sequence

import numpy as np

from tasks.features.augment import BAND_CELLS
from tasks.features.front_end import FLOOR

QUIET_SHARE = 0.05  # of an utterance's frames: what its bands have there is its noise floor
DIGITAL_SHARE = 0.5  # of silences that are zeros, as editors and gates write them
DECADES = 2.0  # of power that the others may be below the floor


def concatenate_utterances(
    utterances: Sequence[np.ndarray], silence_frames: int, random: np.random.Generator
) -> np.ndarray:
    """Log power (T, D) of utterances as one, with up to so many frames of silence before, between and after them."""
    parts = list[np.ndarray]()
    for frames in utterances:
        parts += [make_silence(frames, int(random.integers(0, silence_frames + 1)), random), frames]
    parts.append(make_silence(utterances[-1], int(random.integers(0, silence_frames + 1)), random))
    return np.concatenate(parts)


def make_silence(frames: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """So many frames (count, D) of steady noise at the noise floor of an utterance (T, D) or below, or of zeros."""
    power = np.maximum(np.exp(np.quantile(frames.astype(np.float64), QUIET_SHARE, axis=0)) - FLOOR, 0)
    power *= 0.0 if random.random() < DIGITAL_SHARE else 10 ** -random.uniform(0, DECADES)
    noise = power * random.gamma(BAND_CELLS, 1 / BAND_CELLS, (count, frames.shape[1]))
    return np.log(noise + FLOOR).astype(np.float32)
