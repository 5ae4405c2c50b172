"""What makes a recording known again: signs of band-energy differences, frame by frame.

J. Haitsma, T. Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002, with windows short enough for one
word. Bit m of frame n is the sign of the change in time of the difference between bands m and m + 1, so that neither a
gain nor a codec changes many; the same words said again change half of them. Frames without sound have none.
"""

import numpy as np
import torch

from tasks.features.front_end import resampler

SAMPLE_RATE = 8000
WINDOW, HOP = 1024, 128  # samples: 128 ms, 16 ms
BITS, LAG = 24, 4  # frames that the change in time is over
LOWEST_HZ, HIGHEST_HZ = 200.0, 3000.0
QUIET_DB = 35.0  # below the loudest frame: no sound


def fingerprint_clip(wave: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Of samples (n,): BITS bits of each frame that has sound, uint32, and the frames' numbers, int32, in order."""
    power = _band_power(resample(wave, sample_rate))  # (T, BITS + 1)
    if len(power) <= LAG:
        return np.zeros(0, np.uint32), np.zeros(0, np.int32)
    energy = np.log(power + 1e-12)
    slope = energy[:, :-1] - energy[:, 1:]
    signs = slope[LAG:] > slope[:-LAG]
    hashes = (signs.astype(np.uint32) << np.arange(BITS, dtype=np.uint32)).sum(1, dtype=np.uint32)
    loudness = 10 * np.log10(power.sum(1) + 1e-12)
    sound = np.minimum(loudness[LAG:], loudness[:-LAG]) > loudness.max() - QUIET_DB
    return hashes[sound], np.flatnonzero(sound).astype(np.int32)


def resample(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """Samples (n,) at SAMPLE_RATE."""
    if sample_rate == SAMPLE_RATE:
        return wave
    with torch.inference_mode():
        return resampler(sample_rate, SAMPLE_RATE)(torch.from_numpy(np.ascontiguousarray(wave, np.float32))).numpy()


def _band_power(wave: np.ndarray) -> np.ndarray:
    """(T, BITS + 1), bands evenly spaced in the logarithm of frequency."""
    if len(wave) < WINDOW:
        wave = np.pad(wave, (0, WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BITS + 2) * WINDOW / SAMPLE_RATE
    sums = np.concatenate([np.zeros((len(frames), 1)), spectrum.cumsum(1)], 1)
    places = np.arange(sums.shape[1])
    at = np.stack([np.interp(edges, places, row) for row in sums])
    return np.diff(at, axis=1)
