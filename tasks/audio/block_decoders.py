"""What decodes a file block by block, goes on after a place that does not decode, and says what was wrong."""

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple, Protocol, Self, cast

import numpy as np
import soundfile

from tasks.audio.audio_io import LARGEST_SAMPLES, LOUDEST, UNKNOWN_FORMAT, ForwardSoundFile, samples_spared
from tasks.audio.bad_clip import BadClip
from tasks.audio.container import fault_in
from tasks.audio.file_bytes import FileBytes, FileBytesReader

BLOCK_SECONDS = 10  # that are handed on together
STEP_SECONDS = 0.25  # that are decoded at a time: what lies before a fault is not lost with it
SKIP_SECONDS, SKIP_GROWTH, SKIPS = 0.5, 1.5, 24  # over a place that does not decode: at first, and each time more
NEEDS_AV = "m4a, mp4 and webm need PyAV: pip install 'scriptorium[containers]'"
MISSING_SHARE = 0.02  # of a container's length that may not decode: encoders pad, and some lengths are rounded


class Block(NamedTuple):
    """samples: (n, channels) float32, or given frames (n, 1, D), from the frame `begin` of the recording on."""

    begin: int
    samples: np.ndarray


class AudioDecoder(Protocol):
    """blocks: in order; what lies between two does not decode. When they have ended, frames: in all, decoded or not.
    flaws: what was wrong. loudest: no sample of the file is beyond.
    """

    rate: int
    channels: int
    frames: int
    flaws: list[str]
    loudest: float

    def blocks(self) -> Iterator[Block]: ...


def told(bad: BadClip) -> str:
    return bad.reason + (f" ({bad.detail})" if bad.detail else "")


def join_blocks(steps: Iterable[Block], size: int) -> Iterator[Block]:
    """The same samples in blocks of so many at least, but for where some are missing and the last."""
    begin, held, count = 0, list[np.ndarray](), 0
    for at, samples in steps:
        if count and (count >= size or at != begin + count):
            yield Block(begin, np.concatenate(held))
            held, count = [], 0
        begin, held, count = begin if count else at, [*held, samples], count + len(samples)
    if count:
        yield Block(begin, np.concatenate(held))


class SoundFileDecoder:
    """libsndfile's formats. fault: what is wrong with the container, None for nothing."""

    loudest = LOUDEST

    def __init__(self, data: FileBytes, fault: BadClip | None) -> None:
        """Raises BadClip where nothing decodes."""
        self.data, self.fault = data, fault
        self.flaws = [told(fault)] if fault else []
        try:
            self.file = self._open()
        except soundfile.SoundFileError as error:
            cause = str(getattr(error, "error_string", "")) or "libsndfile does not know the format"
            # Of a format that it does not know, what was taken for a fault is chance: bytes that look like MPEG's.
            raise BadClip("not audio", cause) if _is_unknown(error) or not fault else fault from error
        self.rate, self.channels = self.file.samplerate, self.file.channels
        if not 0 <= self.file.frames * self.channels <= LARGEST_SAMPLES:
            raise BadClip("not audio", "its header announces more samples than any recording has")
        self.frames = self._announced()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def blocks(self) -> Iterator[Block]:
        at = 0
        for block in join_blocks(self._steps(), BLOCK_SECONDS * self.rate):
            yield block
            at = block.begin + len(block.samples)
        if at >= self.frames - samples_spared(self.file):  # an mp3's encoder added some
            self.frames = at
        elif not self.flaws:
            self.flaws.append(f"truncated ({at} samples of {self.frames} decode)")

    def _steps(self) -> Iterator[Block]:
        at, size = 0, max(1, round(STEP_SECONDS * self.rate))
        while True:
            samples = np.empty((size, self.channels), np.float32)
            try:
                samples = samples[: self.file.buffer_read_into(samples, "float32")]
            except soundfile.SoundFileError as error:
                self._note(at, error)
                at = self._resume(at)
                continue
            if not len(samples):
                return
            yield Block(at, samples)
            at += len(samples)

    def _note(self, at: int, error: soundfile.SoundFileError) -> None:
        if not self.flaws:
            cause = str(getattr(error, "error_string", "")) or str(error)
            self.flaws.append(f"{fault_in(cast(bytes, self.data))} (from {at / self.rate:.1f} s on: {cause})")

    def _resume(self, at: int) -> int:
        """The next frame from which on the file decodes; the last where none does. The file is left there."""
        skip = SKIP_SECONDS * self.rate
        for _ in range(SKIPS):
            if at + skip >= self.frames:
                break
            with suppress(soundfile.SoundFileError):
                self.file.close()
                self.file = self._open()
                self.file.seek(at + int(skip))
                self.file.buffer_read_into(np.empty((1, self.channels), np.float32), "float32")
                self.file.seek(at + int(skip))
                return at + int(skip)
            skip *= SKIP_GROWTH
        self.file.close()
        self.file = soundfile.SoundFile(os.devnull, "r", self.rate, self.channels, "PCM_16", format="RAW")
        return self.frames

    def _open(self) -> soundfile.SoundFile:
        if (descriptor := self.data.whole_file) is None:
            return ForwardSoundFile(cast(BinaryIO, FileBytesReader(self.data)))
        os.lseek(descriptor, 0, os.SEEK_SET)
        return ForwardSoundFile(descriptor, closefd=False)

    def _announced(self) -> int:
        """Frames by the header's word: of a file that is cut off, libsndfile counts those that are there."""
        there, said = self.fault.share if self.fault else (1, 1)
        unit = there // max(1, self.file.frames)  # bytes of a frame
        whole = unit and unit * self.file.frames <= there < unit * (self.file.frames + 1)
        return said // unit if whole and said > there else self.file.frames


def _is_unknown(error: soundfile.SoundFileError) -> bool:
    return getattr(error, "code", 0) == UNKNOWN_FORMAT


class FFmpegDecoder:
    """The first audio stream of a container that FFmpeg reads."""

    loudest = LOUDEST

    def __init__(self, descriptor: int, bad: BadClip) -> None:
        """bad: what libsndfile says of it, raised where FFmpeg knows it no better. Raises BadClip."""
        self.av: Any = import_module("av")  # an extra: the type checker may not have it
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.file, self.flaws = os.fdopen(os.dup(descriptor), "rb"), list[str]()
        with ExitStack() as undo:
            undo.callback(self.file.close)
            try:
                self.container = self.av.open(self.file)
            except self.av.InvalidDataError:
                raise bad from None
            except self.av.FFmpegError as error:
                raise BadClip("cannot be decoded", error.strerror or str(error)) from error
            undo.callback(self.container.close)
            if not self.container.streams.audio:
                raise BadClip("no audio stream in it")
            undo.pop_all()
        self.stream = self.container.streams.audio[0]
        self.rate, self.channels = self.stream.rate, self.stream.channels
        seconds = self.container.duration / 1e6 if self.container.duration else 0.0
        if self.stream.duration is not None:
            seconds = float(self.stream.duration * self.stream.time_base)
        self.frames = round(seconds * self.rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()
        self.file.close()

    def blocks(self) -> Iterator[Block]:
        at = 0
        for block in join_blocks(self._steps(), BLOCK_SECONDS * self.rate):
            yield block
            at = block.begin + len(block.samples)
        if at >= (1 - MISSING_SHARE) * self.frames - self.rate / 10:
            self.frames = at
        else:
            self.flaws.append(f"truncated ({at / self.rate:.2f} s of {self.frames / self.rate:.2f} decode)")

    def _steps(self) -> Iterator[Block]:
        resampler = self.av.AudioResampler(format="fltp", layout=self.stream.layout.name, rate=self.rate)
        at = 0
        for frame in self._frames():
            if frame is not None and self.flaws and frame.pts is not None:  # what lies before it may have been left out
                at = max(at, round(float(frame.pts * frame.time_base) * self.rate))
            for made in resampler.resample(frame):
                samples = made.to_ndarray().T
                yield Block(at, samples)
                at += len(samples)

    def _frames(self) -> Iterator[Any]:
        """Those that decode, and None at the end."""
        try:
            for packet in self.container.demux(self.stream):
                try:
                    yield from packet.decode()
                except self.av.FFmpegError as error:
                    self._note(error)
        except self.av.FFmpegError as error:
            self._note(error)
        yield None

    def _note(self, error: Any) -> None:
        if not self.flaws:
            self.flaws.append(f"damaged ({error.strerror or error})")
