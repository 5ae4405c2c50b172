"""A recording of any length, block by block: what is held of it does not grow with it, and what is damaged is named.

libsndfile's formats, headers set right as for clips (container.py), and what FFmpeg reads where PyAV is installed. A
place that does not decode is a gap between two blocks; the rest is read.
"""

import hashlib
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

import numpy as np

from infra import storage
from infra.errors import UserError
from tasks.audio.audio_io import decode_clip, mix_channels
from tasks.audio.bad_clip import BadClip
from tasks.audio.block_decoders import (
    BLOCK_SECONDS,
    NEEDS_AV,
    AudioDecoder,
    Block,
    FFmpegDecoder,
    SoundFileDecoder,
    told,
)
from tasks.audio.container import complete_header
from tasks.audio.file_bytes import FileBytes
from tasks.audio.live_audio_input import AudioInput

UNCHECKED = ("mfc", "raw")  # without a container
Channels = Literal["mix", "separate"] | int
AudioSource = str | os.PathLike[str] | bytes | AudioInput


@dataclass
class AudioBlocks:
    """A recording that is open. channels: the mean of all, each by itself, or the one with this number, from 0 on.

    Once `read` has ended: frames: in all, decoded or not. sha256: of the file's bytes, "" for samples. flaw: what is
    wrong with it, "" for nothing.
    """

    source: AudioDecoder
    channels: tuple[int, ...]
    mixed: bool
    sha256: str = ""
    file: int | None = None  # its descriptor
    found: tuple[int, int] = field(default=(0, 0))  # its size and time of change when it was opened

    @property
    def rate(self) -> int:
        return self.source.rate

    @property
    def frames(self) -> int:
        return self.source.frames

    @property
    def flaw(self) -> str:
        return "; ".join(dict.fromkeys(self.source.flaws))

    def read(self) -> Iterator[Block]:
        """Blocks (n, channels) in order; what lies between two, or after the last, could not be decoded."""
        for begin, samples in self.source.blocks():
            chosen = mix_channels(samples)[:, None] if self.mixed else samples[:, list(self.channels)]
            yield from _finite(Block(begin, chosen), self.source.loudest, self.source.flaws)
        if self.file is not None and not self.frames and not self.source.flaws:
            self.source.flaws.append("no samples")
        if self.file is not None and _version(self.file) != self.found:
            self.source.flaws.append("changed while it was read")


@contextmanager
def open_audio(audio: AudioSource, channels: Channels = "mix") -> Iterator[AudioBlocks]:
    """A file by its path or s3:// URI, its bytes, or samples (n,), or given frames (n, D).

    Raises UserError in one line for what is not there, is no sound, or has no such channel.
    """
    with ExitStack() as opened:
        if isinstance(audio, AudioInput):
            yield AudioBlocks(_Samples(audio), (0,), mixed=False)
            return
        name = "the bytes given" if isinstance(audio, bytes) else os.fspath(audio)
        descriptor = _open_file(audio, opened)
        version = _version(descriptor)
        try:
            source = opened.enter_context(_open_source(name, descriptor))
            chosen = _choose(channels, source.channels)
        except BadClip as bad:
            raise UserError(f"{name}: {told(bad)}") from bad
        yield AudioBlocks(source, chosen, channels == "mix", _digest(descriptor), descriptor, version)


def _digest(descriptor: int) -> str:
    data, found = FileBytes.of_file(descriptor), hashlib.sha256()
    for _, block in data.blocks(0, len(data)):
        found.update(block)
    return found.hexdigest()


def _version(descriptor: int) -> tuple[int, int]:
    told = os.fstat(descriptor)
    return told.st_size, told.st_mtime_ns


def _choose(channels: Channels, count: int) -> tuple[int, ...]:
    if isinstance(channels, int):
        if not 0 <= channels < count:
            raise BadClip("no such channel", f"channel {channels}, counted from 0, of {count}")
        return (channels,)
    return (0,) if channels == "mix" else tuple(range(count))


def _open_file(audio: str | os.PathLike[str] | bytes, opened: ExitStack) -> int:
    """A descriptor that can be sought in: bytes in memory, an object on S3 as a copy that ends with it."""
    if isinstance(audio, bytes | bytearray | memoryview):
        file = opened.enter_context(os.fdopen(os.memfd_create("recording"), "w+b"))
        file.write(audio)
        file.flush()
        return file.fileno()
    uri = os.fspath(audio)
    try:
        if storage.is_s3(uri):
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="recording-")))
            storage.download(uri, folder / "copy")
            uri = str(folder / "copy")
        descriptor = os.open(uri, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # or a pipe would wait for its writer
    except OSError as error:
        raise UserError(f"{os.fspath(audio)}: cannot be read ({error.strerror or error})") from error
    opened.callback(os.close, descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise UserError(f"{os.fspath(audio)}: cannot be read (a folder, pipe or device; give a file)")
    return descriptor


@contextmanager
def _open_source(name: str, descriptor: int) -> Iterator[AudioDecoder]:
    data, extension = FileBytes.of_file(descriptor), name.rpartition("/")[2].rpartition(".")[2].lower()
    if not len(data):
        raise BadClip("empty file")
    if extension in UNCHECKED:
        samples, rate = decode_clip(data.read(0, len(data)), extension)
        yield _Samples(AudioInput(samples, rate))
        return
    with ExitStack() as opened:
        try:
            source = opened.enter_context(SoundFileDecoder(*_complete_header(data)))
        except BadClip as bad:
            if bad.reason != "not audio":
                raise
            if find_spec("av") is None:
                raise BadClip(bad.reason, f"{bad.detail}; {NEEDS_AV}") from bad
            source = opened.enter_context(FFmpegDecoder(descriptor, bad))
        yield source


def _complete_header(data: FileBytes) -> tuple[FileBytes, BadClip | None]:
    """The file as it can be decoded, and what is wrong with it."""
    try:
        return FileBytes(()) + complete_header(cast("bytes", data)), None
    except BadClip as bad:
        return data, bad


class _Samples:
    def __init__(self, audio: AudioInput) -> None:
        self.audio, self.rate, self.channels = audio, audio.rate, 1
        self.frames, self.flaws, self.loudest = len(audio.samples), list[str](), math.inf

    def blocks(self) -> Iterator[Block]:
        for at in range(0, self.frames, BLOCK_SECONDS * self.rate):
            yield Block(at, self.audio.samples[at : at + BLOCK_SECONDS * self.rate][:, None])


def _finite(block: Block, loudest: float, flaws: list[str]) -> Iterator[Block]:
    """The block without what lies between its first number that cannot be and its last."""
    begin, samples = block
    if not samples.size or (-loudest <= float(samples.min()) and float(samples.max()) <= loudest < math.inf):
        yield block
        return
    wrong = ~np.isfinite(samples) | (np.abs(samples) > loudest)
    places = np.flatnonzero(wrong.reshape(len(samples), -1).any(1))
    if not len(places):
        yield block
        return
    finite = bool(np.isfinite(samples).all())
    flaws.append("beyond full scale" if finite else "not finite (the samples hold NaN or infinity)")
    first, after = int(places[0]), int(places[-1]) + 1
    yield from (Block(begin + a, samples[a:b]) for a, b in ((0, first), (after, len(samples))) if a < b)
