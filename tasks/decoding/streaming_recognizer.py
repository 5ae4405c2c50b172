"""Listening: words of sound that comes in chunks, while it comes, and how long they took.

A transducer that reads forward is fed frame by frame, and what it has written stays. Any other recognizer reads again
from the beginning what it has heard, each time a quarter more than the last, so that all readings together cost a few
times the last one. Either way the final text is that of the greedy search of the whole.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from infra.errors import UserError
from models.interface import Beam, Hypothesis, State, Transducer
from tasks.bundles.model_bundle import Bundle
from tasks.decoding.alignment.word_timestamps import FrameTiming, TimedToken, WordTimestamps
from tasks.decoding.streaming_features import FrameStream, check_kind, needs_whole
from tasks.features.front_end import FrontEnd, extract_frames, given_frames

FIRST_SECONDS, GROWTH = 1.0, 1.25  # a whole reading first, and how much longer the next one is


class PartialTranscript(NamedTuple):
    """The words so far, of which the first `final` stay as they are, how many tokens they are made of, and whether
    these are all that the search may write.
    """

    words: list[TimedToken]
    final: int
    tokens: int = 0
    truncated: bool = False


class IncrementalSearch(Protocol):
    """A search of one utterance that encoded frames (1, J) are fed to."""

    def advance(self, frames: Tensor) -> None: ...
    def found(self) -> list[list[Hypothesis]]: ...


@runtime_checkable
class StreamingTransducer(Transducer, Protocol):
    """A transducer whose encoder may read frames as they come."""

    @property
    def streams(self) -> bool: ...
    def begin(self, batch_size: int) -> State: ...
    def listen(self, frames: Tensor, stream: State, *, last: bool) -> tuple[Tensor, State]: ...
    def start_search(self, beam: Beam) -> IncrementalSearch: ...


class StreamingRecognizer(Protocol):
    """said: in one line, when it writes what."""

    said: str

    def hear(self, samples: np.ndarray, *, last: bool) -> PartialTranscript | None:
        """The next samples (n,); None where nothing was made of them yet."""
        ...


def make_recognizer(bundle: Bundle, rate: int, beam: Beam) -> StreamingRecognizer:
    """What hears samples at a rate. beam: greedy."""
    model = bundle.model
    whole = needs_whole(bundle.sound) if bundle.sound else ""
    if isinstance(model, StreamingTransducer) and model.streams and not whole:
        return IncrementalRecognizer(bundle, model, rate, beam)
    reason = whole or "the model"
    return RecomputingRecognizer(
        bundle, rate, beam, f"{reason} needs the whole utterance: what is shown may change until the end"
    )


class IncrementalRecognizer:
    """A model that hears each frame once."""

    said = "each word is final as it is written"

    def __init__(self, bundle: Bundle, model: StreamingTransducer, rate: int, beam: Beam) -> None:
        assert bundle.sound is not None
        self.model, self.frames = model, FrameStream(bundle.sound, rate)
        self.words, self.clock = WordTimestamps(bundle.tokenizer), frame_timing(bundle)
        self.stream, self.search = model.begin(1), model.start_search(beam)

    @torch.inference_mode()
    def hear(self, samples: np.ndarray, *, last: bool) -> PartialTranscript:
        frames = torch.from_numpy(check_finite(self.frames(samples, last=last)))
        encoded, self.stream = self.model.listen(frames[None], self.stream, last=last)
        for t in range(encoded.shape[1]):
            self.search.advance(encoded[:, t])
        best = self.search.found()[0][0]
        words = self.words.timed(best, self.clock)
        open_words = 0 if last or self.words.closed(best.tokens) else 1
        return PartialTranscript(words, len(words) - open_words, len(best.tokens), best.truncated)


class RecomputingRecognizer:
    """A model that hears all from the beginning, again and again."""

    def __init__(self, bundle: Bundle, rate: int, beam: Beam, said: str) -> None:
        self.bundle, self.rate, self.beam, self.said = bundle, rate, beam, said
        self.words, self.clock = WordTimestamps(bundle.tokenizer), frame_timing(bundle)
        self.held: list[np.ndarray] = []
        self.heard, self.next = 0, round(FIRST_SECONDS * rate)
        self.best: Hypothesis | None = None  # of all that was heard

    @torch.inference_mode()
    def hear(self, samples: np.ndarray, *, last: bool) -> PartialTranscript | None:
        if len(samples):
            self.held.append(samples)
            self.heard, self.best = self.heard + len(samples), None
        if not last and self.heard < self.next:
            return None
        self.next = round(max(self.heard * GROWTH, self.heard + FIRST_SECONDS * self.rate))
        if self.best is None:
            source = self.bundle.source(stored_frames(np.concatenate(self.held), self.rate, self.bundle))
            self.best = self.bundle.model.search(source, self.beam)[0][0]
        words = self.words.timed(self.best, self.clock)
        return PartialTranscript(words, len(words) if last else 0, len(self.best.tokens), self.best.truncated)


def stored_frames(samples: np.ndarray, rate: int, of: Bundle | FrontEnd) -> np.ndarray:
    """Samples, or given frames, to frames (T, D) as shards of features hold them. Raises UserError for NaN."""
    end = of if isinstance(of, FrontEnd) else of.front_end
    check_kind(samples, end)
    frames = given_frames(samples, end) if samples.ndim > 1 else extract_frames(samples, rate, end)
    return check_finite(frames.astype(np.float16))


def check_finite(frames: np.ndarray) -> np.ndarray:
    """The frames. Raises UserError where a number is none: no search has a word for it."""
    if not np.isfinite(frames).all():
        first = int((~np.isfinite(frames)).any(1).argmax())
        raise UserError(f"the features hold NaN or infinity, first in frame {first}: mend the recording or the bundle")
    return frames


def frame_timing(bundle: Bundle) -> FrameTiming:
    return FrameTiming(bundle.front_end.hop_ms / 1000 * bundle.model.reduction)


@dataclass
class LatencyStats:
    """Of a recording that was heard: its seconds, those of work, and of each chunk the seconds to its words.

    A chunk arrives when its last sample is spoken, if all were spoken without a pause from the beginning on; work on it
    waits for that on the chunks before. So the delays of a file are those of the same sound live.
    """

    seconds: float = 0.0
    worked: float = 0.0
    free: float = 0.0  # when the last work was done
    tokens: int = 0  # written
    truncated: bool = False
    waiting: list[float] = field(default_factory=list)  # arrivals
    of_chunks: list[float] = field(default_factory=list)

    def arrived(self, seconds: float) -> None:
        self.seconds += seconds
        self.waiting.append(self.seconds)

    def done(self, work: float, *, shown: bool) -> None:
        self.free = max(self.free, self.seconds) + work
        self.worked += work
        if shown:
            self.of_chunks += [self.free - arrival for arrival in self.waiting]
            self.waiting = []

    def __str__(self) -> str:
        mean, worst = sum(self.of_chunks) / len(self.of_chunks), max(self.of_chunks)
        factor = self.worked / self.seconds
        times = f"{1000 * mean:.0f} ms from a chunk to its words, at worst {1000 * worst:.0f} ms"
        return f"{self.seconds:.2f} s heard: {times}; real-time factor {factor:.3f}"


def transcribe_stream(
    recognizer: StreamingRecognizer,
    chunks: Iterable[np.ndarray],
    rate: int,
    show: Callable[[PartialTranscript], None],
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyStats:
    """All chunks to their words, shown as they come. Raises UserError where no chunk comes."""
    delays = LatencyStats()

    def work(samples: np.ndarray, *, last: bool) -> None:
        begun = clock()
        heard = recognizer.hear(samples, last=last)
        if heard is not None:
            show(heard)
            delays.tokens, delays.truncated = heard.tokens, heard.truncated
        delays.done(clock() - begun, shown=heard is not None)

    chunk = None
    for chunk in chunks:
        delays.arrived(len(chunk) / rate)
        work(chunk, last=False)
    if chunk is None:
        raise UserError("no samples to listen to")
    delays.arrived(0.0)
    work(chunk[:0], last=True)
    return delays
