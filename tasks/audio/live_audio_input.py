"""One recording to listen to: a file as any corpus may have it, or 16-bit samples as they come on a pipe."""

import io
import os
import select
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from infra import storage
from infra.errors import UserError
from infra.keyboard_interrupt import Interrupt
from tasks.audio.audio_io import BadClip, decode_clip

HEADERS = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3\x03": "an MP3 file"}
PIPE_BYTES = 1 << 16  # what the system holds between two programs


class AudioInput(NamedTuple):
    """samples: mono (n,) in [-1, 1], or given frames (n, D). rate: of them a second. said: of what was done to it."""

    samples: np.ndarray
    rate: int
    said: str = ""

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def chunks(self, milliseconds: int) -> Iterator[np.ndarray]:
        size = max(1, self.rate * milliseconds // 1000)
        for begin in range(0, len(self.samples), size):
            yield self.samples[begin : begin + size]


def read_audio_input(uri: str) -> AudioInput:
    """A file's samples. Raises UserError in one line for a file that is not there, is no sound, is cut off, has no
    samples or some that are not finite.
    """
    return decode_audio_input(uri, read_bytes(uri))


def read_bytes(uri: str) -> bytes:
    """Raises UserError in one line where that cannot be."""
    try:
        return storage.read(uri)
    except OSError as error:
        raise UserError(f"{uri}: cannot be read ({error.strerror or error})") from error


def decode_audio_input(name: str, data: bytes) -> AudioInput:
    """As `read_audio_input`, of a file's bytes. name: its path, or what else is said of it."""
    extension = name.rpartition("/")[2].rpartition(".")[2].lower()
    try:
        samples, rate = decode_clip(data, extension)
    except BadClip as bad:
        raise UserError(f"{name}: {bad.reason}" + (f" ({bad.detail})" if bad.detail else "")) from bad
    channels = 1 if extension in {"mfc", "raw"} else soundfile.info(io.BytesIO(data)).channels
    return AudioInput(samples, rate, f"{channels} channels, of which the mean is heard" if channels > 1 else "")


def pcm_chunks(
    stream: BinaryIO, rate: int, milliseconds: int, interrupt: Interrupt | None = None
) -> Iterator[np.ndarray]:
    """Little-endian 16-bit mono samples to chunks (n,) in [-1, 1], until the stream ends or Ctrl-C: the speaker has
    ended then, and what the pipe holds still comes.

    Raises UserError where there is none, or the header of a file, and KeyboardInterrupt where Ctrl-C comes first.
    """
    size, held, first = 2 * max(1, rate * milliseconds // 1000), b"", True
    for data in _pieces(stream, size, interrupt):
        if first and data[:4] in HEADERS:
            raise UserError(f"standard input holds {HEADERS[data[:4]]}, not bare samples: give its name, not -")
        held += data
        whole, held = held[: len(held) // 2 * 2], held[len(held) // 2 * 2 :]  # half a sample at the end is none
        if whole:
            yield np.frombuffer(whole, "<i2").astype(np.float32) / 32768
            first = False
    if first and interrupt and interrupt.seen:
        raise KeyboardInterrupt
    if first:
        raise UserError("standard input: no samples")


def _pieces(stream: BinaryIO, size: int, interrupt: Interrupt | None) -> Iterator[bytes]:
    descriptor = _descriptor(stream)
    if interrupt is None or descriptor is None:
        while data := stream.read(size):
            yield data
        return
    held = b""
    while not interrupt.seen:
        ready = select.select([descriptor, interrupt.reader], [], [])[0]
        if interrupt.reader in ready:
            os.read(interrupt.reader, 1)
        if descriptor in ready:
            if not (data := os.read(descriptor, size - len(held))):
                break
            held += data
            if len(held) == size:
                yield held
                held = b""
    waiting = PIPE_BYTES if interrupt.seen else 0
    while waiting > 0 and select.select([descriptor], [], [], 0)[0] and (data := os.read(descriptor, waiting)):
        held, waiting = held + data, waiting - len(data)
    yield from (held[at : at + size] for at in range(0, len(held), size))


def _descriptor(stream: BinaryIO) -> int | None:
    """None for what is in memory."""
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None
