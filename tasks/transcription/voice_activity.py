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
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F

from infra.errors import UserError
from tasks.decoding.streaming_features import ResampleStream
from tasks.transcription.silero_network import PIECE, SileroNetwork
from tasks.transcription.windows import Span

RATE = 16000  # hertz, what both detectors hear at
BLOCK = 1 << 18  # samples that are resampled at a time
HYSTERESIS = 0.15  # as in silero-vad's own `get_speech_timestamps`
PACKAGES = {"silero": "silero_vad", "webrtc": "webrtcvad"}


@dataclass(frozen=True, kw_only=True)
class VadConfig:
    """kind: "none" takes all for speech. aggressiveness: of webrtc, 0 to 3, how much it holds for noise."""

    kind: Literal["none", "silero", "webrtc"] = "none"
    threshold: float = 0.5
    min_speech_ms: int = 250
    min_silence_ms: int = 500
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
    """Spans of speech in samples at `rate`, in order and apart from one another, each once the next is known.

    blocks: the samples (n,) in [-1, 1] of a recording, one block after the other, of which only the last is held.
    Raises UserError where the detector is not installed.
    """
    check_installed(config)
    detector = DETECTORS[config.kind](config)
    heard = _Counter(blocks)
    seconds = detector.piece / RATE
    scores = chain.from_iterable(map(detector, _pieces(heard, rate, detector.piece)))
    runs = speech_runs(scores, seconds, config)
    for begin, end in pad_runs(runs, config.pad_ms / 1000 / seconds):
        first, last = (min(round(at * seconds * rate), heard.size) for at in (begin, end))
        if first < last:
            yield Span(first, last)


def speech_runs(scores: Iterable[float], seconds: float, config: VadConfig) -> Iterator[tuple[int, int]]:
    """Runs of pieces [first, last) that are speech. scores: how probable it is in each piece of so many seconds."""
    begin, quiet, number = None, None, 0
    least = config.min_speech_ms / 1000 / seconds
    patience = config.min_silence_ms / 1000 / seconds
    for number, score in enumerate(scores, 1):  # noqa: B007  (counted beyond the loop)
        piece = number - 1
        if score >= config.threshold:
            begin, quiet = piece if begin is None else begin, None
        elif begin is not None and score < config.threshold - HYSTERESIS:
            quiet = piece if quiet is None else quiet
            if number - quiet >= patience:
                if quiet - begin >= least:
                    yield begin, quiet
                begin = quiet = None
    end = number if quiet is None else quiet
    if begin is not None and end - begin >= least:
        yield begin, end


def pad_runs(runs: Iterable[tuple[int, int]], pad: float) -> Iterator[tuple[float, float]]:
    """Each run with so much before and after it, or half of what lies between two; the last may go beyond the end."""
    begin, end = 0.0, None
    for first, last in runs:
        before = first - pad if end is None else first - min(pad, (first - end) / 2)
        if end is not None:
            yield begin, end + min(pad, (first - end) / 2)
        begin, end = max(0.0, before), last
    if end is not None:
        yield begin, end + pad


class _Counter:
    """Blocks as they come, and how many samples they had so far."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self.blocks, self.size = blocks, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks:
            self.size += len(block)
            yield block


def _pieces(blocks: Iterable[np.ndarray], rate: int, size: int) -> Iterator[torch.Tensor]:
    """(N, size) at RATE, as they come, the last one filled up with zeros."""
    resampled, held = ResampleStream(rate, RATE), torch.empty(0)
    for block in blocks:
        for begin in range(0, len(block), BLOCK):
            held = torch.cat((held, resampled(_tensor(block[begin : begin + BLOCK]), last=False)))
            whole = len(held) // size * size
            if whole:
                yield held[:whole].view(-1, size)
            held = held[whole:]
    held = torch.cat((held, resampled(torch.empty(0), last=True)))
    if len(held):
        yield F.pad(held, (0, -len(held) % size)).view(-1, size)


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
