"""Waveforms to frames: log-mel filter banks, MFCC and spectrograms at any window and hop, through torchaudio."""

import math
import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor

from infra.errors import UserError
from tasks.features.augment import interpolate

Normalize = Literal["corpus", "utterance", "level", "none"]

OF_WHOLE_UTTERANCES = ("trim_db", "range_db", "frames")  # the settings for which a frame depends on all others
OF_LOG_POWER = ("log_mel", "log_spectrogram")
NATS_A_DECIBEL = math.log(10) / 10
STEPS, LEAST_DEVIATION = 4, 1e-3  # a deviation is at least so many steps of float16 at the mean: less is rounding
FLOOR = 1e-6  # added to a power before its logarithm, about -60 dB of a full-scale sine's frame


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """What becomes of a waveform. kind "given": the corpus holds frames (AN4's cepstra), used as they are, or with
    `bands` as so many bands of the smooth log-mel spectrum that they are the cosine transform of: what training does to
    spectra can then be done to them. kind "waveform": the samples as they are, a hop of them a frame, for a model that
    learns its own filters (models/layers/time_domain_filterbank.py). kind "log_spectrogram": the log power of each
    frequency of the Fourier transform of a window, window / 2 + 1 of them, as Deep Speech 2 reads it.

    kind: what a frame holds. sample_rate: hertz, every clip is resampled to it. window_ms, hop_ms: how long a frame's
    window is, and how far the next one is from it. bands: of "given" cepstra, bands of a spectrum, 0 for none. mels,
    cepstra: bands and coefficients (MFCC keeps `cepstra` of `mels`). low_hz, high_hz: the range of the mel filters, 0
    for half the sample rate. trim_db: of log power, the frames before and after all that come within so many decibels
    of the loudest are left out, 0 for none; a word then begins where it is heard. range_db: of log power, what lies
    more than so many decibels below the highest value is raised to there, 0 for none; rooms and microphones then differ
    less in what is no speech. frames: of log power, what is left is stretched or compressed to so many frames, 0 for as
    many as there are (linear time normalization): a single word is then as long said fast as said slowly. These three
    are done when features are read. normalize: when features are read too, mean 0 and variance 1 of each coefficient,
    over the training split or over each utterance; "level": of all coefficients of an utterance together, which keeps
    what its spectrum is like.
    """

    kind: Literal["log_mel", "log_spectrogram", "mfcc", "waveform", "given"] = "log_mel"
    sample_rate: int = 16000
    window_ms: float = 25.0
    hop_ms: float = 10.0
    mels: int = 80
    cepstra: int = 13
    bands: int = 0
    low_hz: float = 20.0
    high_hz: float = 0.0
    trim_db: float = 0.0
    range_db: float = 0.0
    frames: int = 0
    normalize: Normalize = "corpus"

    def __post_init__(self) -> None:
        for name in OF_WHOLE_UTTERANCES:
            value = getattr(self, name)
            if value < 0 or (value and self.kind not in OF_LOG_POWER):
                raise ValueError(f"features.{name} is not negative, and for {' and '.join(OF_LOG_POWER)} alone")
        if self.bands < 0 or (self.bands and self.kind != "given"):
            raise ValueError("features.bands is not negative, and for kind=given alone; see features.mels")
        if self.kind == "waveform" and self.normalize not in {"level", "none"}:
            raise ValueError("features.kind=waveform goes with features.normalize=level or none: samples have no bands")
        if self.window_ms <= 0 or self.hop_ms <= 0 or self.sample_rate <= 0:
            raise ValueError("features.window_ms, hop_ms and sample_rate are above 0")
        if not 0 <= self.low_hz < (self.high_hz or self.sample_rate / 2) <= self.sample_rate / 2:
            raise ValueError("features: 0 <= low_hz < high_hz <= sample_rate / 2")

    @property
    def window(self) -> int:
        """Samples in a window."""
        return round(self.window_ms * self.sample_rate / 1000)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return round(self.hop_ms * self.sample_rate / 1000)

    @property
    def fft_size(self) -> int:
        """Samples that a spectrum is made of: the window with zeros around it, for mel filters so many that a fast
        transform is one.
        """
        if self.kind == "log_spectrogram":
            return self.window + self.window % 2
        return 1 << (self.window - 1).bit_length()

    def check_filters(self) -> None:
        """Raises ValueError where some of the mel filters lie between two frequencies of the transform: what comes out
        of them is a constant that no normalization makes useful.
        """
        if self.kind not in {"log_mel", "mfcc"} or not (empty := self._empty_filters(self.mels)):
            return
        fitting = next((mels for mels in range(self.mels - 1, 0, -1) if not self._empty_filters(mels)), 0)
        raise ValueError(
            f"features.mels={self.mels}: {len(empty)} of the filters (numbers {', '.join(map(str, empty[:5]))}"
            f"{', ...' if len(empty) > 5 else ''}) are empty, for they lie between the {self.fft_size // 2 + 1} "
            f"frequencies of a window of {self.window_ms:g} ms at {self.sample_rate} Hz; {fitting} fit: set "
            f"features.mels={fitting}, a longer features.window_ms, or features.kind=log_spectrogram"
        )

    def _empty_filters(self, mels: int) -> list[int]:
        high = self.high_hz or self.sample_rate / 2
        with warnings.catch_warnings():  # torchaudio warns of them
            warnings.simplefilter("ignore")
            bank = torchaudio.functional.melscale_fbanks(
                self.fft_size // 2 + 1, self.low_hz, high, mels, self.sample_rate
            )
        return torch.nonzero(bank.sum(0) == 0).flatten().tolist()


def extract_frames(wave: np.ndarray, sample_rate: int, front_end: FrontEnd) -> np.ndarray:
    """A mono waveform (samples,) in [-1, 1] at `sample_rate` hertz to frames (T, D), float32."""
    if front_end.kind == "given":
        raise UserError(
            "features.kind=given takes a corpus of frames (AN4's .mfc); this one has waveforms: use log_mel"
        )
    with torch.inference_mode():
        samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
        if sample_rate != front_end.sample_rate and len(samples):
            samples = resampler(sample_rate, front_end.sample_rate)(samples)
        if front_end.kind == "waveform":
            return frame_by_hop(samples, front_end.hop).numpy()
        if len(samples) < front_end.window:  # one whole window at least
            samples = F.pad(samples, (0, front_end.window - len(samples)))
        power = spectrogram(front_end)(samples)  # (D, T)
        frames = (power + FLOOR).log() if front_end.kind in OF_LOG_POWER else power
        return frames.T.contiguous().numpy()


def frame_by_hop(samples: Tensor, hop: int) -> Tensor:
    """Samples (n,) to (ceil(n / hop), hop), at least one, with zeros at the end."""
    return F.pad(samples, (0, max(-len(samples) % hop, hop - len(samples)))).view(-1, hop)


def given_frames(frames: np.ndarray, front_end: FrontEnd) -> np.ndarray:
    """A corpus' own frames (T, D) as a model of kind "given" reads them: these, or the spectrum (T, bands) of cepstra.

    Sphinx's cepstra of N log-energies s_j are c_k = 1/N sum_j s_j cos(pi k (j + 1/2) / N), but for half the first term,
    so that s_j = c_0 + 2 sum_k c_k cos(pi k (j + 1/2) / N), smoothed by the cepstra that were left out; at another N
    the same smooth spectrum is read at other places.
    """
    if not front_end.bands:
        return frames
    places = (np.arange(front_end.bands) + 0.5) / front_end.bands
    cosines = 2 * np.cos(math.pi * np.outer(np.arange(frames.shape[1]), places))
    cosines[0] = 1
    return (frames @ cosines).astype(np.float32)


def feature_size(front_end: FrontEnd, given: int) -> int:
    """Coefficients in a frame; `given` where the corpus decides."""
    bins = front_end.fft_size // 2 + 1
    of_kind = {"log_mel": front_end.mels, "log_spectrogram": bins, "mfcc": front_end.cepstra, "waveform": front_end.hop}
    return of_kind.get(front_end.kind, front_end.bands or given)


@cache
def resampler(source_rate: int, target_rate: int) -> torch.nn.Module:
    return torchaudio.transforms.Resample(source_rate, target_rate)


@cache
def spectrogram(front_end: FrontEnd, *, centered: bool = True) -> torch.nn.Module:
    """torchaudio's transform, (samples,) to (D, T). centered: frame t lies around sample t * hop, and the waveform is
    reflected at both ends; else it begins there.
    """
    stft = {
        "n_fft": front_end.fft_size,
        "center": centered,
        "win_length": front_end.window,
        "hop_length": front_end.hop,
    }
    if front_end.kind == "log_spectrogram":
        return torchaudio.transforms.Spectrogram(**stft)
    mel = stft | {
        "n_mels": front_end.mels,
        "f_min": front_end.low_hz,
        "f_max": front_end.high_hz or None,
    }
    rate = front_end.sample_rate
    if front_end.kind == "mfcc":
        return torchaudio.transforms.MFCC(rate, front_end.cepstra, log_mels=True, melkwargs=mel)
    return torchaudio.transforms.MelSpectrogram(rate, **mel)


@dataclass(frozen=True)
class CMVN:
    """Mean and standard deviation of each coefficient (D,); empty tuples normalize nothing or each utterance.

    trim_db, range_db, frames: as `FrontEnd` says. They come after what training adds to the features, so that a word is
    cut out of a noisy room as it is out of a quiet one.
    """

    kind: Normalize
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    trim_db: float = 0.0
    range_db: float = 0.0
    frames: int = 0

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames (T, D), any float type, to float32 (T', D)."""
        frames = frames.astype(np.float32)
        if self.trim_db:
            loud = np.log(np.exp(frames.astype(np.float64)).sum(1))
            heard = np.flatnonzero(loud >= loud.max() - self.trim_db * NATS_A_DECIBEL)
            frames = frames[heard[0] : heard[-1] + 1]
        if self.range_db:
            frames = np.maximum(frames, frames.max() - np.float32(self.range_db * NATS_A_DECIBEL))
        if self.frames:
            frames = interpolate(frames, np.linspace(0, len(frames) - 1, self.frames))
        if self.kind == "none":
            return frames
        if self.kind == "utterance":
            return (frames - frames.mean(0)) / np.maximum(frames.std(0), least_deviation(frames.mean(0)))
        if self.kind == "level":
            return (frames - frames.mean()) / np.maximum(frames.std(), least_deviation(frames.mean()))
        return (frames - np.asarray(self.mean, np.float32)) / np.asarray(self.deviation, np.float32)


def least_deviation(mean: np.ndarray) -> np.ndarray:
    """What coefficients stored as float16 around this mean vary by rounding alone: not to be divided by less."""
    return np.maximum(STEPS * np.spacing(np.abs(mean).astype(np.float16)).astype(np.float32), LEAST_DEVIATION)


def fit_cmvn(statistics: dict, front_end: FrontEnd) -> CMVN:
    """From `{"frames", "sum": [D], "squares": [D]}` of the training split."""
    own = {name: getattr(front_end, name) for name in OF_WHOLE_UTTERANCES}
    return (
        replace(fit_normalizer(statistics), **own)
        if front_end.normalize == "corpus"
        else CMVN(front_end.normalize, **own)
    )


def fit_normalizer(statistics: dict) -> CMVN:
    """Of each coefficient, from the same."""
    mean = np.asarray(statistics["sum"]) / statistics["frames"]
    variance = np.asarray(statistics["squares"]) / statistics["frames"] - mean**2
    deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), least_deviation(mean))
    return CMVN("corpus", mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))
