"""Training-time changes of feature frames, each drawn from (seed, epoch, key): the same whoever makes the batch."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

SPECTRUM_POINTS, SPECTRUM_DEVIATION = 5, 2.0  # of a noise: nats of power, free at so many places in between
MOST_CONCATENATED = 4  # utterances
BAND_CELLS = 3.0  # of an STFT that a band sums over, about: a steady noise varies from frame to frame accordingly


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """SpecAugment (Park et al. 2019, https://arxiv.org/abs/1904.08779) and its kin; every default is none.

    time_masks, time_mask_frames, time_mask_share: how many spans of time are masked, of at most so many frames, and of
    at most this share of the utterance. frequency_masks, frequency_mask_bins: how many bands are masked, of at most so
    many bins. speed: the utterance is stretched by up to this share. warp: the frequency axis is stretched by up to
    this share, as another vocal tract would (Jaitly & Hinton 2013). tilt, gain: a random slope over frequency, and a
    random level, in the unit of the features (nats of power for log-mel). noise: the standard deviation of noise
    added to the normalized features is drawn from [0, noise]. snr_db: (lowest, highest) ratio of an utterance's power
    to that of a steady noise with a random spectrum that is added to it, for log-mel. from_epoch: earlier epochs see
    clean features.

    concatenate: how probable it is that another utterance of the corpus follows, up to MOST_CONCATENATED in all, their
    transcripts as one (lhotse's CutConcatenate). silence_frames: before, after and between utterances stands silence of
    up to so many frames, at the noise floor of the utterance or below, see silence.py. Both are for log power: a
    recognizer that never hears silence around speech writes letters into that of a long recording.
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
    snr_db: tuple[float, ...] = ()
    from_epoch: int = 0
    concatenate: float = 0.0
    silence_frames: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "snr_db", tuple(self.snr_db))  # JSON brings lists
        if self.snr_db and (len(self.snr_db) != 2 or self.snr_db[0] > self.snr_db[1]):
            raise ValueError(f"augment.snr_db is a lowest and a highest ratio, not {self.snr_db}")

        for name in ("time_mask_share", "speed", "warp", "concatenate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augment.{name} is a share in [0, 1], not {getattr(self, name)}")
        for name in (
            "time_masks",
            "time_mask_frames",
            "frequency_masks",
            "frequency_mask_bins",
            "from_epoch",
            "silence_frames",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"augment.{name} is not negative, as {getattr(self, name)} is")
        for name in ("gain", "tilt", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"augment.{name} is not negative and finite, which {getattr(self, name)} is not")

    @property
    def nothing(self) -> bool:
        of_bands = (self.warp, self.gain, self.tilt, self.noise, self.snr_db)
        of_length = (self.speed, self.concatenate, self.silence_frames)
        return not any((self.time_masks, self.frequency_masks, *of_length, *of_bands))

    def check(self, kind: str) -> None:
        """Raises ValueError for what features of this kind cannot be done to: samples are no spectra."""
        names = ("speed", "warp", "gain", "tilt", "snr_db", "frequency_masks") if kind == "waveform" else ()
        for name in names:
            if getattr(self, name):
                raise ValueError(f"augment.{name} is for spectra: leave it out with features.kind=waveform")
        for name in ("concatenate", "silence_frames"):
            if getattr(self, name) and kind not in {"log_mel", "log_spectrogram"}:
                raise ValueError(f"augment.{name} is for log power: leave it out with features.kind={kind}")


def generator(seed: int, epoch: int, key: str) -> np.random.Generator:
    words = hashlib.blake2b(f"{seed} {epoch} {key}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(words, "little"))


def reshape(frames: np.ndarray, config: AugmentConfig, random: np.random.Generator, least: int) -> np.ndarray:
    """Noise, speed, warp, gain and tilt on raw features (T, D), float32. At least `least` frames are left."""
    if config.snr_db:
        low, high = config.snr_db
        frames = add_noise(frames, random.uniform(low, high), random)
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


def add_noise(frames: np.ndarray, snr_db: float, random: np.random.Generator) -> np.ndarray:
    """Log power (T, D) with that of a steady noise added, whose spectrum is random and smooth."""
    points = np.linspace(0, frames.shape[1] - 1, SPECTRUM_POINTS)
    shape = np.exp(np.interp(np.arange(frames.shape[1]), points, random.normal(0, SPECTRUM_DEVIATION, SPECTRUM_POINTS)))
    power = np.exp(frames.astype(np.float64))
    level = power.mean() / shape.mean() * 10 ** (-snr_db / 10)
    noise = level * shape * random.gamma(BAND_CELLS, 1 / BAND_CELLS, frames.shape)
    return np.log(power + noise).astype(np.float32)


def mask(frames: np.ndarray, config: AugmentConfig, random: np.random.Generator) -> np.ndarray:
    """Noise and masks on normalized features (T, D); a mask is the mean, zero. May write into `frames`."""
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
