"""Where somebody speaks: spans of speech in a recording, found block by block, by a detector that is installed for it.

silero: Silero VAD, a small recurrent network on 32 ms (https://github.com/snakers4/silero-vad; its weights are in the
wheel). webrtc: the Gaussian mixtures of WebRTC on 30 ms (PyPI webrtcvad-wheels). Both come with
`pip install 'scriptorium[vad]'`. The detector says of each piece how probable speech is; what becomes of that is the
same for both:

    speech begins where a piece reaches `threshold`, and ends where for min_silence_ms none reaches threshold - 0.15;
    what lasts less than min_speech_ms is none; pad_ms before and after are kept, as far as no other speech is there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from infra.errors import UserError
from tasks.decoding.streaming_features import ResampleStream
from tasks.transcription.silero_network import PIECE, SileroNetwork
from tasks.transcription.speech_runs import RunPadding, SpeechRuns
from tasks.transcription.windows import Span

RATE = 16000  # hertz, what both detectors hear at
BLOCK = 1 << 18  # samples that are resampled at a time
PACKAGES = {"silero": "silero_vad", "webrtc": "webrtcvad"}


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """kind: "none" takes all for speech. aggressiveness: of webrtc, 0 to 3, how much it holds for noise."""

    kind: Literal["none", "silero", "webrtc"] = "none"
    threshold: float = 0.5
    min_speech_ms: int = 250
    min_silence_ms: int = 200
    pad_ms: int = 100
    aggressiveness: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or not 0 <= self.aggressiveness <= 3:
            raise ValueError("vad.threshold is between 0 and 1, vad.aggressiveness 0 to 3")
        if min(self.min_speech_ms, self.min_silence_ms, self.pad_ms) < 0:
            raise ValueError("vad.min_speech_ms, min_silence_ms and pad_ms are not negative")


def check_installed(config: VadConfig) -> None:
    """Raises UserError where the detector is not."""
    package = PACKAGES.get(config.kind)
    if package and find_spec(package) is None:
        name = package.replace("_", "-")
        raise UserError(
            f"vad {config.kind}: {name} is not installed; pip install 'scriptorium[vad]', or go without (--vad none)"
        )


def find_speech(blocks: Iterable[np.ndarray], rate: int, config: VadConfig) -> Iterator[Span]:
    """Spans of speech in samples at `rate`, in order and apart from one another, each as soon as it is known.

    blocks: the samples (n,) in [-1, 1] of a recording, one block after the other, of which only the last is held.
    Raises UserError where the detector is not installed.
    """
    found = detect_speech(rate, config)
    for block in blocks:
        yield from found.hear(block)
    yield from found.finish()


class SpeechSpans(Protocol):
    """Speech in a recording that comes block by block. heard: samples so far. open_span: of speech that goes on, from
    where to where it is known to be; None where there is none. settled: no span to come begins before this sample.
    """

    heard: int

    def hear(self, samples: np.ndarray) -> list[Span]:
        """The next samples (n,); the spans that are known now, whole."""
        ...

    def finish(self) -> list[Span]: ...
    @property
    def open_span(self) -> tuple[int, int] | None: ...
    @property
    def settled(self) -> int: ...


def detect_speech(rate: int, config: VadConfig) -> SpeechSpans:
    """For one channel of one recording. Raises UserError where the detector is not installed."""
    if config.kind == "none":
        return WholeRecording()
    check_installed(config)
    return VoiceActivity(rate, config)


class WholeRecording:
    """All is taken for speech."""

    def __init__(self) -> None:
        self.heard = 0

    def hear(self, samples: np.ndarray) -> list[Span]:
        self.heard += len(samples)
        return []

    def finish(self) -> list[Span]:
        return [Span(0, self.heard)] if self.heard else []

    @property
    def open_span(self) -> tuple[int, int] | None:
        return 0, self.heard

    @property
    def settled(self) -> int:
        return 0


class VoiceActivity:
    """By a detector."""

    def __init__(self, rate: int, config: VadConfig) -> None:
        self.detector, self.rate = DETECTORS[config.kind](config), rate
        self.seconds = self.detector.piece / RATE
        self.runs, self.padding = _runs(self.seconds, config), RunPadding(config.pad_ms / 1000 / self.seconds)
        self.pieces, self.heard = _Pieces(rate, self.detector.piece), 0

    def hear(self, samples: np.ndarray) -> list[Span]:
        self.heard += len(samples)
        found = list[tuple[float, float]]()
        for pieces in self.pieces.hear(samples):
            found += self._padded(self.runs.hear(self.detector(pieces)))
        return self._spans(found)

    def finish(self) -> list[Span]:
        found = list[tuple[float, float]]()
        for pieces in self.pieces.finish():
            found += self._padded(self.runs.hear(self.detector(pieces)))
        found += self._padded(self.runs.finish())
        return self._spans([*found, *self.padding.finish()])

    def _padded(self, runs: Iterable[tuple[int, int]]) -> list[tuple[float, float]]:
        found = [span for run in runs for span in self.padding.hear(*run)]
        quiet = self.runs.number if self.runs.begin is None else self.runs.begin
        return found + self.padding.settle(quiet)

    def _spans(self, found: Iterable[tuple[float, float]]) -> list[Span]:
        return [Span(a, b) for a, b in ((self._sample(begin), self._sample(end)) for begin, end in found) if a < b]

    def _sample(self, piece: float) -> int:
        return min(round(piece * self.seconds * self.rate), self.heard)

    @property
    def open_span(self) -> tuple[int, int] | None:
        if self.runs.begin is None or not self.runs.sure:
            return None
        return self._sample(self.padding.begin(self.runs.begin)), self._sample(self.runs.end)

    @property
    def settled(self) -> int:
        if self.padding.held:
            return self._sample(self.padding.held[0])
        first = self.runs.number if self.runs.begin is None else self.runs.begin
        return self._sample(self.padding.begin(first))


def speech_runs(scores: Iterable[float], seconds: float, config: VadConfig) -> Iterator[tuple[int, int]]:
    """Runs of pieces [first, last) that are speech. scores: how probable it is in each piece of so many seconds."""
    runs = _runs(seconds, config)
    yield from runs.hear(scores)
    yield from runs.finish()


def pad_runs(runs: Iterable[tuple[int, int]], pad: float) -> Iterator[tuple[float, float]]:
    """Each run with so much before and after it, or half of what lies between two; the last may go beyond the end."""
    padding = RunPadding(pad)
    for run in runs:
        yield from padding.hear(*run)
    yield from padding.finish()


def _runs(seconds: float, config: VadConfig) -> SpeechRuns:
    least, patience = (ms / 1000 / seconds for ms in (config.min_speech_ms, config.min_silence_ms))
    return SpeechRuns(config.threshold, least, patience)


class _Pieces:
    """Samples to pieces (N, size) at RATE, as they come, the last one filled up with zeros."""

    def __init__(self, rate: int, size: int) -> None:
        self.resampled, self.held, self.size = ResampleStream(rate, RATE), torch.empty(0), size

    def hear(self, samples: np.ndarray) -> Iterator[torch.Tensor]:
        for begin in range(0, len(samples), BLOCK):
            heard = self.resampled(_tensor(samples[begin : begin + BLOCK]), last=False)
            self.held = torch.cat((self.held, heard))
            whole = len(self.held) // self.size * self.size
            if whole:
                yield self.held[:whole].view(-1, self.size)
            self.held = self.held[whole:]

    def finish(self) -> Iterator[torch.Tensor]:
        held = torch.cat((self.held, self.resampled(torch.empty(0), last=True)))
        if len(held):
            yield F.pad(held, (0, -len(held) % self.size)).view(-1, self.size)


def _tensor(samples: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(samples, np.float32))


class Detector(Protocol):
    """piece: samples at RATE. Calling it with the next ones (N, piece) gives the probability of speech in each."""

    piece: int

    def __call__(self, pieces: torch.Tensor) -> list[float]: ...


class Silero:
    """The network, with its state of one recording. The package itself is not imported: it sets torch to one thread."""

    piece = PIECE

    def __init__(self, _config: VadConfig) -> None:
        found = find_spec(PACKAGES["silero"])
        assert found is not None, "check_installed has found it"
        self.network = SileroNetwork(Path(str(found.origin)).parent / "data" / "silero_vad.jit").eval()

    def __call__(self, pieces: torch.Tensor) -> list[float]:
        return self.network(pieces).tolist()


class WebRTC:
    """The mixtures, with their state of one recording; they say yes or no."""

    piece = 480

    def __init__(self, config: VadConfig) -> None:
        package: Any = import_module(PACKAGES["webrtc"])  # an extra: the type checker may not have it
        self.model = package.Vad(config.aggressiveness)

    def __call__(self, pieces: torch.Tensor) -> list[float]:
        whole = (pieces.clamp(-1, 1) * 32767).to(torch.int16).numpy()
        return [float(self.model.is_speech(piece.tobytes(), RATE)) for piece in whole]


DETECTORS: dict[str, Callable[[VadConfig], Detector]] = {"silero": Silero, "webrtc": WebRTC}
