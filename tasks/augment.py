"""Training-time changes of feature frames, each drawn from (seed, epoch, key): the same whoever makes the batch."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Augment:
    """SpecAugment (Park et al. 2019, https://arxiv.org/abs/1904.08779) and its kin; every default is none.

    time_masks of at most time_mask_frames (and time_mask_share of the utterance); frequency_masks of at most
    frequency_mask_bins. speed: the utterance is stretched by up to this share. warp: the frequency axis is stretched by
    up to this share, as another vocal tract would (Jaitly & Hinton 2013). tilt: a random slope over frequency and
    gain: a random level, in the unit of the features (nats of power for log-mel). noise: the standard deviation of
    noise added to the normalised features is drawn from [0, noise]. from_epoch: earlier epochs see clean features.
    """

    time_masks: int = 0
    time_mask_frames: int = 40
    time_mask_share: float = 0.2
    frequency_masks: int = 0
    frequency_mask_bins: int = 10
    speed: float = 0.0
    warp: float = 0.0
    gain: float = 0.0
    tilt: float = 0.0
    noise: float = 0.0
    from_epoch: int = 0

    @property
    def nothing(self) -> bool:
        return not any((self.time_masks, self.frequency_masks, self.speed, self.warp, self.gain, self.tilt, self.noise))


def generator(seed: int, epoch: int, key: str) -> np.random.Generator:
    words = hashlib.blake2b(f"{seed} {epoch} {key}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(words, "little"))


def reshape(frames: np.ndarray, config: Augment, random: np.random.Generator, least: int) -> np.ndarray:
    """Speed, warp, gain and tilt on raw features (T, D), float32. At least `least` frames are left."""
    time, size = frames.shape
    if config.speed:
        stretched = max(least, round(time * (1 + random.uniform(-config.speed, config.speed))), 1)
        frames = interpolate(frames, np.linspace(0, time - 1, stretched))
    if config.warp:
        bins = np.arange(size) * (1 + random.uniform(-config.warp, config.warp))
        frames = interpolate(frames.T, np.minimum(bins, size - 1)).T
    if config.gain:
        frames = frames + np.float32(random.uniform(-config.gain, config.gain))
    if config.tilt:
        slope = np.linspace(-1, 1, size, dtype=np.float32) * np.float32(random.uniform(-config.tilt, config.tilt))
        frames = frames + slope
    return frames


def mask(frames: np.ndarray, config: Augment, random: np.random.Generator) -> np.ndarray:
    """Noise and masks on normalised features (T, D); a mask is the mean, zero. May write into `frames`."""
    time, size = frames.shape
    if config.noise:
        deviation = np.float32(random.uniform(0, config.noise))
        frames = frames + deviation * random.standard_normal(frames.shape, dtype=np.float32)
    widest = min(config.time_mask_frames, int(config.time_mask_share * time))
    for _ in range(config.time_masks):
        width = int(random.integers(0, widest + 1))
        start = int(random.integers(0, time - width + 1))
        frames[start : start + width] = 0
    for _ in range(config.frequency_masks):
        width = int(random.integers(0, min(config.frequency_mask_bins, size) + 1))
        start = int(random.integers(0, size - width + 1))
        frames[:, start : start + width] = 0
    return frames


def interpolate(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """`rows` (T, D) at fractional places (T',), linearly."""
    before = np.floor(places).astype(np.int64)
    after = np.minimum(before + 1, len(rows) - 1)
    share = (places - before).astype(np.float32)[:, None]
    return rows[before] * (1 - share) + rows[after] * share
