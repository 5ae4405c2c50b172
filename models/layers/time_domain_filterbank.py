"""Time-domain filter banks (Zeghidour et al. 2018, https://arxiv.org/abs/1711.01161): mel energies out of the waveform.

phi_n(t) = exp(-2 pi i eta_n t) exp(-t^2 / (2 sigma_n^2)) / (sqrt(2 pi) sigma_n)        section 2.2, Gabor wavelets
y_n      = log(1 + |x * phi_n|^2 * |h|^2)        h: a Hann window of 25 ms; every 10 ms

eta_n is the center of the mel filter psi_n, a triangle over the power spectrum; sigma_n = sqrt(2 log 2) / (pi w_n), w_n
the width of sqrt(psi_n) at half its height, so that |phi^_n|^2 has the same one there. Here the absolute values of a
wavelet add up to 1, and a tone at the center passes as through a mel filter of height 1. Both filters are convolutions,
and may be learned with the model that reads them.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.interface import Padded
from models.registry import check_rates


@dataclass(frozen=True, kw_only=True)
class TimeDomainFilters:
    """sample_rate, low_hz, high_hz: hertz, high_hz 0 for half the rate. learned: whether the wavelets are parameters;
    learned_window: whether the low-pass is. preemphasis: x_t - preemphasis x_{t-1} is heard; 0 for none. scale: what
    samples are multiplied with; full scale is 1, and log(1 + y) would be blind to quiet sounds.
    """

    sample_rate: int = 16000
    filters: int = 40
    low_hz: float = 64.0
    high_hz: float = 0.0
    window_ms: float = 25.0
    hop_ms: float = 10.0
    preemphasis: float = 0.97
    scale: float = 32768.0
    learned: bool = True
    learned_window: bool = False

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.filters, self.window_ms, self.hop_ms, self.scale) <= 0:
            raise ValueError("sample_rate, filters, window_ms, hop_ms and scale are above 0")
        if not 0 <= self.low_hz < self.highest_hz <= self.sample_rate / 2:
            raise ValueError("low_hz is below high_hz, and both are between 0 and half the sample rate")
        check_rates(self, "preemphasis")
        if self.hop < 1 or self.window < 3:
            raise ValueError("hop_ms is at least a sample and window_ms at least three")

    @property
    def highest_hz(self) -> float:
        return self.high_hz or self.sample_rate / 2

    @property
    def window(self) -> int:
        """Samples; odd, so that a window has a middle."""
        return round(self.sample_rate * self.window_ms / 1000) // 2 * 2 + 1

    @property
    def hop(self) -> int:
        return round(self.sample_rate * self.hop_ms / 1000)


class FilterBank(nn.Module):
    """Samples (B, T) in [-1, 1] to frames (B, ceil(T / hop), filters), zero on their padding; beyond a clip is silence.

    size: features of a frame. reduction: samples a frame.
    """

    wavelets: Tensor  # (2 N, 1, W)
    window: Tensor  # (N, 1, W)

    def __init__(self, config: TimeDomainFilters) -> None:
        super().__init__()
        self.config, self.size, self.reduction = config, config.filters, config.hop
        self._hold("wavelets", gabor(config)[:, None], learned=config.learned)
        window = torch.hann_window(config.window, periodic=False).square()
        self._hold("window", window.expand(config.filters, 1, -1).clone(), learned=config.learned_window)

    def _hold(self, name: str, value: Tensor, *, learned: bool) -> None:
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def forward(self, samples: Padded) -> Padded:
        config, side = self.config, self.config.window // 2
        x = samples.data * config.scale
        x = x - config.preemphasis * F.pad(x[:, :-1], (1, 0)) if config.preemphasis else x
        x = x.masked_fill(~samples.mask(), 0)
        heard = F.conv1d(F.pad(x, (side, side))[:, None], self.wavelets)
        energy = heard.square().unflatten(1, (2, config.filters)).sum(1)  # |x * phi|^2 (B, N, T)
        energy = energy.masked_fill(~samples.mask()[:, None], 0)
        smooth = F.conv1d(F.pad(energy, (side, side)), self.window, stride=config.hop, groups=config.filters)
        frames = Padded(smooth.transpose(1, 2), (samples.lengths + config.hop - 1) // config.hop)
        known = smooth.clamp(min=0).log1p().transpose(1, 2)  # a learned window may be negative somewhere
        return Padded(known.masked_fill(~frames.mask()[..., None], 0), frames.lengths)


def mel(hz: float) -> float:
    """O'Shaughnessy's scale."""
    return 2595 * math.log10(1 + hz / 700)


def hertz(mels: Tensor) -> Tensor:
    """The inverse of `mel`."""
    return 700 * (10 ** (mels / 2595) - 1)


def gabor(config: TimeDomainFilters) -> Tensor:
    """(2 N, W) the wavelets' real parts, then their imaginary ones."""
    edges = torch.linspace(mel(config.low_hz), mel(config.highest_hz), config.filters + 2, dtype=torch.float64)
    left, center, right = (cast("Tensor", e)[:, None] for e in hertz(edges).unfold(0, 3, 1).unbind(1))
    width = 0.75 * (right - left)  # hertz; a triangle's root is 1/2 where the triangle is 1/4
    deviation = config.sample_rate * math.sqrt(2 * math.log(2)) / (math.pi * width)  # samples
    time = torch.arange(config.window, dtype=torch.float64) - config.window // 2
    envelope = (-(time**2) / (2 * deviation**2)).exp()
    envelope = envelope / envelope.sum(1, keepdim=True)
    angle = 2 * math.pi * center / config.sample_rate * time
    return torch.cat((envelope * angle.cos(), -envelope * angle.sin())).float()
