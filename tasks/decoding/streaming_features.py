"""Sound that comes in chunks to the frames of the whole: each is made once, as soon as its samples are there.

The offline front end resamples with a kernel that reaches over its neighbors, and lays each window around its frame's
place, with the sound reflected at both ends. So a chunk's last samples wait for those of the next one.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infra.errors import UserError
from tasks.bundles.model_bundle import AudioConfig
from tasks.features.front_end import (
    FLOOR,
    OF_LOG_POWER,
    OF_WHOLE_UTTERANCES,
    FrontEnd,
    feature_size,
    frame_by_hop,
    given_frames,
    resampler,
    spectrogram,
)


def needs_whole(sound: AudioConfig) -> str:
    """The setting for which a frame depends on all others of the utterance; "" where none does."""
    for name in OF_WHOLE_UTTERANCES:
        if getattr(sound.front_end, name):
            return f"features.{name}={getattr(sound.front_end, name):g}"
    kind = sound.normalizer.kind
    return f"features.normalize={kind}" if kind in {"utterance", "level"} else ""


def check_kind(samples: np.ndarray, front_end: FrontEnd) -> None:
    """Raises UserError for a waveform (n,) where the model reads frames as they are given (n, D), or the reverse."""
    if (samples.ndim > 1) == (front_end.kind == "given"):
        return
    if samples.ndim > 1:
        raise UserError(
            f"the model makes its own features ({front_end.kind}) of waveforms, and this file holds cepstra"
        )
    raise UserError("the model reads cepstra (.mfc), as its training corpus held them, and this is a waveform")


class FrameStream:
    """The frames (T, D) float32 that a model reads, of samples at a rate; of given frames, those themselves.

    Put together, what the calls return is what `extract`, storing as float16, and the normalizer make of the whole.
    """

    def __init__(self, sound: AudioConfig, sample_rate: int) -> None:
        """Raises UserError for features that need the whole utterance."""
        if reason := needs_whole(sound):
            raise UserError(f"{reason} needs the whole utterance: it has no stream")
        self.sound = sound
        self.resampled = ResampleStream(sample_rate, sound.front_end.sample_rate)
        self.framed = TransformStream(sound.front_end)

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, *, last: bool) -> np.ndarray:
        """The next samples (n,), or of given frames the next (n, D), to the frames that are now known."""
        check_kind(samples, self.sound.front_end)
        if samples.ndim > 1:
            return self.sound.normalizer(given_frames(samples, self.sound.front_end).astype(np.float16))
        heard = self.resampled(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), last=last)
        return self.sound.normalizer(self.framed(heard, last=last).numpy().astype(np.float16))


class ResampleStream:
    """What torchaudio's Resample makes of the whole, chunk by chunk: blocks of samples, a convolution each."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        divisor = math.gcd(source_rate, target_rate)
        self.read, self.made = source_rate // divisor, target_rate // divisor  # samples of a block
        self.kernel, self.reach = torch.empty(0), 0
        if self.read != self.made:
            module = resampler(source_rate, target_rate)
            self.kernel, self.reach = module.get_buffer("kernel"), int(getattr(module, "width"))  # noqa: B009  (torch types it as a module)
        self.held, self.heard, self.given = torch.zeros(self.reach), 0, 0

    def __call__(self, samples: Tensor, *, last: bool) -> Tensor:
        """The next samples (n,) to those that are now known (n',)."""
        if self.read == self.made:
            return samples
        self.heard += len(samples)
        held = torch.cat((self.held, samples))
        if last:
            held = F.pad(held, (0, self.reach + self.read))
        blocks = max(0, (len(held) - 2 * self.reach) // self.read)
        self.held = held[blocks * self.read :]
        found = samples.new_zeros(0)
        if blocks:
            reached = held[: blocks * self.read + 2 * self.reach]
            found = F.conv1d(reached[None, None], self.kernel, stride=self.read)[0].T.flatten()
        if last:  # the length of the whole, in the library's single precision
            length = int(torch.ceil(torch.as_tensor(self.made * self.heard / self.read)))
            found = found[: max(0, length - self.given)]
        self.given += len(found)
        return found


class TransformStream:
    """What the front end's transform makes of the whole, chunk by chunk."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end, self.half = front_end, front_end.fft_size // 2
        self.held, self.skip = torch.empty(0), 0  # samples, and where among them the next window begins
        self.heard, self.begun = 0, False

    def __call__(self, samples: Tensor, *, last: bool) -> Tensor:
        """The next samples (n,) to the frames (T, D) that are now known."""
        held, hop, window = torch.cat((self.held, samples)), self.front_end.hop, self.front_end.window
        self.heard += len(samples)
        if self.front_end.kind == "waveform":
            return self._hops(held, last=last)
        if last:  # what is shorter than a window becomes one, as in `extract`
            held = F.pad(held, (0, max(0, window - self.heard)))
        if not self.begun and len(held) > self.half:
            self.begun, held = True, torch.cat((held[1 : self.half + 1].flip(0), held))
        if last:
            held = torch.cat((held, held[-self.half - 1 : -1].flip(0)))
        ready = max(0, (len(held) - self.skip - 2 * self.half) // hop + 1) if self.begun else 0
        found = self._frames(held[self.skip : self.skip + max(0, ready - 1) * hop + 2 * self.half], ready)
        following = self.skip + ready * hop
        dropped = max(0, min(following, len(held) - self.half - 1)) if self.begun else 0  # the rest may be reflected
        self.held, self.skip = held[dropped:], following - dropped
        return found

    def _hops(self, held: Tensor, *, last: bool) -> Tensor:
        whole = len(held) // self.front_end.hop * self.front_end.hop
        self.held = held[whole:]
        if last and (len(self.held) or not self.heard):  # what is left is filled up, as in `extract`
            return frame_by_hop(held, self.front_end.hop)
        return held[:whole].view(-1, self.front_end.hop)

    def _frames(self, samples: Tensor, count: int) -> Tensor:
        if not count:
            return samples.new_zeros(0, feature_size(self.front_end, 0))
        power = spectrogram(self.front_end, centered=False)(samples).T
        return (power + FLOOR).log() if self.front_end.kind in OF_LOG_POWER else power
