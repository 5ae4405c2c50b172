"""A recording to windows that are decoded, each as soon as it is complete: memory does not grow with the recording.

    blocks of a file --channels, voice activity--> spans --cut where it is quiet--> windows --> stored features

Each channel is heard by itself. After a place that could not be read all begins anew, so that no window spans it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tasks.audio.audio_blocks import AudioBlocks, Channels
from tasks.decoding.streaming_recognizer import stored_frames
from tasks.features.front_end import FrontEnd
from tasks.transcription.coverage import Fate, Interval, RecordingSummary
from tasks.transcription.voice_activity import VadConfig, detect_speech
from tasks.transcription.windows import Span, WindowConfig, WindowCutter


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """How recordings are divided. channels: "mix" is the mean of all, "separate" each by itself, a number one of them,
    from 0 on.
    """

    channels: Channels = "mix"
    vad: VadConfig = field(default_factory=VadConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)


class Window(NamedTuple):
    """What is decoded at once: the frames [begin, end) of a channel of the recording, and of them the stored features
    (T, D) float16. whole: it is all of the recording, which was not looked at for speech.
    """

    channel: int
    begin: int
    end: int
    features: np.ndarray
    whole: bool = False


class WindowStream:
    """The windows of a recording that is open, to be run through once; then `summary` says what became of each frame.

    Raises UserError where the model does not read such a recording.
    """

    def __init__(self, audio: AudioBlocks, front_end: FrontEnd, config: SegmentationConfig) -> None:
        self.audio, self.front_end, self.config = audio, front_end, config
        self.vad = VadConfig() if front_end.kind == "given" else config.vad  # cepstra are no sound
        self.intervals, self.read = {channel: list[Interval]() for channel in audio.channels}, 0

    def __iter__(self) -> Iterator[Window]:
        stretches = list[_Stretch]()
        for begin, samples in self.audio.read():
            if begin > self.read or not stretches:
                yield from self._end(stretches, begin)
                stretches = [_Stretch(self, channel, begin) for channel in self.audio.channels]
            self.read = begin + len(samples)
            for column, stretch in enumerate(stretches):
                yield from stretch.hear(samples[:, column])
        yield from self._end(stretches, self.audio.frames)

    def _end(self, stretches: "list[_Stretch]", following: int) -> Iterator[Window]:
        """What is left of them, and what could not be read from where they end on."""
        for stretch in stretches:
            yield from stretch.finish()
        if following > self.read:
            for channel, intervals in self.intervals.items():
                intervals.append(Interval(channel, self.read, following, "failed"))

    @property
    def summary(self) -> RecordingSummary:
        return RecordingSummary(
            rate=self.audio.rate,
            frames=self.audio.frames,
            intervals=tuple(interval for intervals in self.intervals.values() for interval in intervals),
            sha256=self.audio.sha256,
            flaw=self.audio.flaw,
        )


class _Stretch:
    """A channel from its frame `first` on, as far as it can be read without a gap; frames are counted from there."""

    def __init__(self, stream: WindowStream, channel: int, first: int) -> None:
        self.stream, self.channel, self.first, rate = stream, channel, first, stream.audio.rate
        self.speech, self.cutter = detect_speech(rate, stream.vad), WindowCutter(rate, stream.config.windows)
        self.held, self.base = np.empty(0, np.float32), 0  # samples, and the frame of the first of them
        self.next: int | None = None  # where the next window of speech begins that goes on
        self.told = 0  # up to here it is known what becomes of the frames

    def hear(self, samples: np.ndarray) -> Iterator[Window]:
        self.held = np.concatenate((self.held, samples)) if len(self.held) else samples
        yield from self._close(self.speech.hear(samples))
        if (going_on := self.speech.open_span) is not None:
            begin, end = going_on
            at = begin if self.next is None else self.next
            if end - at > self.cutter.awaited:
                windows, rest = self.cutter.cut(self._samples(at, end), ended=False)
                yield from self._windows(at, windows)
                self.next = at + rest
        needed = self.speech.settled if self.next is None else self.next
        if needed > self.base:
            self.held, self.base = self.held[needed - self.base :].copy(), needed

    def finish(self) -> Iterator[Window]:
        yield from self._close(self.speech.finish())
        self._tell(self.speech.heard, "silence")

    def _close(self, spans: list[Span]) -> Iterator[Window]:
        for span in spans:
            at = span.begin if self.next is None else self.next
            windows, _ = self.cutter.cut(self._samples(at, span.end), ended=True)
            yield from self._windows(at, windows)
            self.next = None
            self._tell(span.begin, "silence")
            self._tell(span.end, "decoded")

    def _tell(self, end: int, fate: Fate) -> None:
        if end > self.told:
            begin, self.told = self.told, end
            interval = Interval(self.channel, self.first + begin, self.first + end, fate)
            self.stream.intervals[self.channel].append(interval)

    def _windows(self, at: int, windows: list[tuple[int, int]]) -> Iterator[Window]:
        for begin, end in windows:
            samples = self._samples(at + begin, at + end)
            features = stored_frames(samples, self.stream.audio.rate, self.stream.front_end)
            begin, end = self.first + at + begin, self.first + at + end
            whole = self.stream.vad.kind == "none" and (begin, end) == (0, self.stream.audio.frames)
            yield Window(self.channel, begin, end, features, whole)

    def _samples(self, begin: int, end: int) -> np.ndarray:
        return self.held[begin - self.base : end - self.base]
