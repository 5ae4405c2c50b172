"""Clips to samples: waveforms by libsndfile, Sphinx cepstra by their four-byte header; or what is wrong with one."""

import fcntl
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import numpy as np
import soundfile

from tasks.audio import mpeg_frames
from tasks.audio.bad_clip import BadClip
from tasks.audio.container import complete_header, fault_in

CEPSTRA = 13  # coefficients in a frame of Sphinx features
FRAMES_A_SECOND = 100
RAW_RATE = 16000  # of headerless .raw files, as CMU ships them
LOUDEST = 8.0  # times full scale: a clipped recording in floats stays, one in whole numbers or out of bounds does not
UNKNOWN_FORMAT = 1  # libsndfile's number for it
LARGEST_SAMPLES = 1 << 33  # of one clip: what its header may not announce


def decode_clip(
    data: bytes,
    extension: str,
    max_seconds: float = float("inf"),
    *,
    scratch: bool = False,
    channels: tuple[int, ...] = (),
) -> tuple[np.ndarray, int]:
    """A clip's bytes to mono float32 (samples,) and its sample rate; "mfc" to cepstra (frames, 13) and 100.

    extension: without a dot. scratch: the samples may lie where the next such call puts its own. channels: the mean of
    these, from 0 on; of all where empty. Raises BadClip; a clip of more than max_seconds is refused before it is
    decoded.
    """
    if not data:
        raise BadClip("empty file")
    if extension == "mfc":
        wave, rate = _cepstra(data), FRAMES_A_SECOND
        if not np.isfinite(wave).all():
            raise BadClip("not finite", "the coefficients hold NaN or infinity")
    elif extension == "raw":
        wave, rate = _raw(data), RAW_RATE
    else:
        wave, rate = _sound(data, max_seconds, channels, scratch=scratch)
    if not len(wave):
        raise BadClip("no samples")
    if len(wave) > max_seconds * rate:
        raise BadClip("too long", f"{len(wave) / rate:.2f} s")
    return wave, rate


def encode_wav(wave: np.ndarray, sample_rate: int) -> bytes:
    """Mono float32 in [-1, 1] as 16-bit WAV."""
    out = io.BytesIO()
    soundfile.write(out, wave, sample_rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


def join_clips(waves: list[np.ndarray], pauses_ms: tuple[int, ...], sample_rate: int) -> np.ndarray:
    """Waves one after the other, pauses_ms[i] of silence before wave i."""
    parts = []
    for i, wave in enumerate(waves):
        pause = pauses_ms[i] if i < len(pauses_ms) else 0
        parts += [np.zeros(pause * sample_rate // 1000, np.float32), wave]
    return np.concatenate(parts)


def piece_bounds(span: tuple[float, float], samples: int, sample_rate: int) -> tuple[int, int]:
    """Where the piece of a wave from span[0] seconds on, span[1] seconds long, begins and ends; to the wave's end where
    span[1] is infinite. Raises BadClip where it is not inside, by more than a tenth of a second at its end.
    """
    start, seconds = span
    if 0 <= start < samples / sample_rate and seconds > 0:
        stop = samples if seconds == float("inf") else round((start + seconds) * sample_rate)
        if stop <= samples + sample_rate // 10 and round(start * sample_rate) < samples:
            return round(start * sample_rate), min(stop, samples)
    raise BadClip("outside its file", f"{start:g} + {seconds:g} s of {samples / sample_rate:.2f} s")


def _sound(data: bytes, max_seconds: float, channels: tuple[int, ...], *, scratch: bool) -> tuple[np.ndarray, int]:
    try:
        data = complete_header(data)
    except BadClip as bad:
        if unknown := _unknown_format(data):  # then it is by chance that it looks like MPEG's
            raise unknown from bad
        raise
    with open_sound(data, kept=scratch) as file:
        rate, declared = file.samplerate, file.frames
        if declared > max_seconds * rate:
            raise BadClip("too long", f"{declared / rate:.2f} s")
        size = declared * file.channels
        memory = _scratch(1 << size.bit_length())[:size] if scratch else np.empty(size, np.float32)
        wave = memory.reshape(declared, file.channels)[: file.buffer_read_into(memory, "float32")]
        if len(wave) < declared - samples_spared(file):
            raise BadClip("truncated", f"{len(wave)} samples of {declared} decode")
        if not file.subtype.startswith("PCM"):  # whole numbers are neither NaN nor infinity
            check_levels(wave)
    return mix_channels(wave, channels), rate


def _unknown_format(data: bytes) -> BadClip | None:
    try:
        soundfile.info(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        return BadClip("not audio", error.error_string) if error.code == UNKNOWN_FORMAT else None
    return None


def mix_channels(wave: np.ndarray, channels: tuple[int, ...] = ()) -> np.ndarray:
    """The mean (samples,) of these channels, from 0 on, of all where empty. Raises BadClip where there is no such."""
    if missing := [channel for channel in channels if not 0 <= channel < wave.shape[1]]:
        raise BadClip("no such channel", f"channel {missing[0]}, counted from 0, of {wave.shape[1]}")
    chosen = wave[:, list(channels)] if channels else wave
    return chosen[:, 0] if chosen.shape[1] == 1 else chosen.mean(1)


def samples_spared(file: soundfile.SoundFile) -> int:
    """How many samples a whole file may decode to less than it announces: of an mp3 what its encoder added."""
    return min(mpeg_frames.TRIMMED, file.frames // 2) if file.format == "MP3" else 0


@contextmanager
def open_sound(data: bytes, *, kept: bool = False) -> Iterator[soundfile.SoundFile]:
    """A file whose header is complete, to be read once from its start to its end. Raises BadClip, within as well."""
    opened = False
    try:
        with _memory_file(data, kept=kept) as descriptor, ForwardSoundFile(descriptor, closefd=False) as file:
            opened = True
            if not 0 <= file.frames * file.channels <= LARGEST_SAMPLES:
                raise BadClip("not audio", "its header announces more samples than any recording has")
            yield file
    except soundfile.SoundFileError as error:
        raise BadClip(fault_in(data) if opened else "not audio", _cause(error)) from error


def check_levels(wave: np.ndarray) -> None:
    """Raises BadClip for samples (any shape) that are NaN, infinite or far beyond full scale."""
    lowest, highest = (float(wave.min()), float(wave.max())) if wave.size else (0.0, 0.0)
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise BadClip("not finite", "the samples hold NaN or infinity")
    if max(-lowest, highest) > LOUDEST:
        raise BadClip("beyond full scale", f"samples up to {max(-lowest, highest):g}, where full scale is 1")


@lru_cache(4)
def _scratch(samples: int) -> np.ndarray:
    """Memory that is touched again and again: fresh memory costs a tenth of the decoding of a short clip."""
    return np.empty(samples, np.float32)


class ForwardSoundFile(soundfile.SoundFile):
    """Read once from its start to its end. Of a file that can be sought in, soundfile seeks to where it is after every
    read, for which an mp3 is decoded anew from some frames before.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def _memory_file(data: bytes, *, kept: bool) -> Iterator[int]:
    """A file descriptor to read the bytes at: of a BytesIO, libsndfile reads each piece by a call back into Python.
    kept: one that the next such call fills anew, which costs less than another.
    """
    descriptor = _kept_file() if kept else _new_file()
    try:
        os.truncate(descriptor, len(data))
        rest = memoryview(data)
        while rest:
            rest = rest[os.pwrite(descriptor, rest, len(data) - len(rest)) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        if not kept:
            os.close(descriptor)


@cache
def _kept_file() -> int:
    return _new_file()


def _new_file() -> int:
    """Memory as a file whose time of access is not kept: libsndfile reads an mp3 twice a frame, and to note the time of
    each costs a tenth of the decoding.
    """
    descriptor = os.memfd_create("clip")
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_RDWR | os.O_NOATIME)
    return descriptor


def _cepstra(data: bytes) -> np.ndarray:
    """Sphinx: one int32, the number of floats that follow, 13 a frame; big-endian, or little where only that fits."""
    if len(data) < 4:
        raise BadClip("not audio", "shorter than a header of Sphinx features")
    for order in (">", "<"):
        count = struct.unpack(f"{order}i", data[:4])[0]
        if 4 + 4 * count == len(data) and count % CEPSTRA == 0:
            return np.frombuffer(data, f"{order}f4", count, 4).reshape(-1, CEPSTRA).astype(np.float32)
    count = struct.unpack(">i", data[:4])[0]
    if count > 0 and count % CEPSTRA == 0 and len(data) < 4 + 4 * count:
        raise BadClip("truncated", f"{(len(data) - 4) // 4} numbers of {count}")
    raise BadClip("not audio", f"not Sphinx features of {CEPSTRA} coefficients")


def _raw(data: bytes) -> np.ndarray:
    """16-bit samples without a header, in the byte order in which neighbors differ less."""
    readings = [np.frombuffer(data[: len(data) // 2 * 2], f"{order}i2").astype(np.float32) for order in "<>"]
    smoothest = min(readings, key=lambda wave: float(np.abs(np.diff(wave)).sum()))
    return smoothest / 32768.0


def _cause(error: Exception) -> str:
    return str(getattr(error, "error_string", "")) or "libsndfile does not know the format"
