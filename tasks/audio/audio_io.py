"""Clips to samples: waveforms by libsndfile, Sphinx cepstra by their four-byte header; or what is wrong with one."""

import fcntl
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import soundfile

CEPSTRA = 13  # coefficients in a frame of Sphinx features
FRAMES_A_SECOND = 100
RAW_RATE = 16000  # of headerless .raw files, as CMU ships them
ESTIMATE_SECONDS = 0.5  # libsndfile estimates the length of an mp3 without an index by its size


@dataclass
class BadClip(Exception):  # noqa: N818  (not an error of the program: a clip for the quarantine)
    """reason: a few words, the same for all clips with this fault. detail: this clip's."""

    reason: str
    detail: str = ""


def decode_clip(
    data: bytes, extension: str, max_seconds: float = float("inf"), *, scratch: bool = False
) -> tuple[np.ndarray, int]:
    """A clip's bytes to mono float32 (samples,) and its sample rate; "mfc" to cepstra (frames, 13) and 100.

    extension: without a dot. scratch: the samples may lie where the next such call puts its own. Raises BadClip; a
    clip of more than max_seconds is refused before it is decoded.
    """
    if not data:
        raise BadClip("empty file")
    if extension == "mfc":
        wave, rate = _finite(_cepstra(data)), FRAMES_A_SECOND
    elif extension == "raw":
        wave, rate = _raw(data), RAW_RATE
    else:
        wave, rate = _sound(data, max_seconds, scratch=scratch)
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


def cut_clip(wave: np.ndarray, sample_rate: int, span: tuple[float, float]) -> np.ndarray:
    """The piece of a wave from span[0] seconds on, span[1] seconds long. Raises BadClip where the wave ends before."""
    start, stop = round(span[0] * sample_rate), round((span[0] + span[1]) * sample_rate)
    if stop > len(wave) + sample_rate // 10 or start >= len(wave):
        raise BadClip("outside its file", f"{span[0]:g} + {span[1]:g} s of {len(wave) / sample_rate:.2f} s")
    return wave[start:stop]


def _sound(data: bytes, max_seconds: float, *, scratch: bool) -> tuple[np.ndarray, int]:
    opened = False
    try:
        with _memory_file(data, kept=scratch) as descriptor, _Forward(descriptor, closefd=False) as file:
            opened = True
            rate, declared, is_mp3, channels = file.samplerate, file.frames, file.format == "MP3", file.channels
            if declared > (max_seconds + ESTIMATE_SECONDS) * rate:
                raise BadClip("too long", f"{declared / rate:.2f} s")
            size = declared * channels
            memory = _scratch(1 << size.bit_length())[:size] if scratch else np.empty(size, np.float32)
            decoded = file.buffer_read_into(memory, "float32")
            wave = memory.reshape(declared, channels)[:decoded]
            if not (is_mp3 or file.subtype.startswith("PCM")):  # whole numbers are neither NaN nor infinity
                _finite(wave)
    except soundfile.SoundFileError as error:
        raise BadClip("truncated" if opened else "not audio", _cause(error)) from error
    if is_mp3:
        check_mp3(data, len(wave))
    elif len(wave) < declared or is_truncated(data):
        raise BadClip("truncated", f"{len(wave)} samples of {declared} decode")
    return wave[:, 0] if wave.shape[1] == 1 else wave.mean(1), rate


def _finite(wave: np.ndarray) -> np.ndarray:
    if not np.isfinite(wave).all():
        raise BadClip("not finite", "the samples hold NaN or infinity")
    return wave


@lru_cache(4)
def _scratch(samples: int) -> np.ndarray:
    """Memory that is touched again and again: fresh memory costs a tenth of the decoding of a short clip."""
    return np.empty(samples, np.float32)


class _Forward(soundfile.SoundFile):
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


def is_truncated(data: bytes) -> bool:
    """Whether a WAV file ends before the data its header announces (libsndfile quietly takes what is there)."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return False
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"data":
            return size < 0xFFFFFF00 and at + 8 + size > len(data)  # a stream's header announces "until the end"
        at += 8 + size + size % 2
    return False


def check_mp3(data: bytes, decoded: int) -> None:
    """Raises BadClip where the file ends inside an MPEG frame: a decoder drops that frame and says nothing."""
    end, samples = mpeg_extent(data)
    if end > len(data):
        raise BadClip("truncated", f"ends {end - len(data)} bytes before its last frame does")
    if decoded < samples // 2:
        raise BadClip("truncated", f"{decoded} samples of {samples} decode")


def mpeg_extent(data: bytes) -> tuple[int, int]:
    """Where the last layer III frame ends, and how many samples the frames have; each follows the one before."""
    at, samples = 0, 0
    if data[:3] == b"ID3" and len(data) > 10:
        sizes = data[6:10]  # seven bits a byte
        at = 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3])
    last = len(data) - 4  # where a header fits
    while at <= last:
        length, count = _frame(data[at : at + 4])
        if length:
            alike = 1 if samples else _alike(data, at, length)
            at += length * alike
            samples += count * alike
        elif samples:
            break  # tags at the end
        else:
            at = data.find(b"\xff", at + 1)
            if at < 0:
                break
    return (at, samples) if samples else (0, 0)


def _alike(data: bytes, at: int, length: int) -> int:
    """How many headers from this one on stand `length` bytes apart and say the same of length and samples: all that
    there is room for, as in most files of a constant bit rate, looked at in one go; else this one.
    """
    stop = len(data) - 3
    count = len(range(at, stop, length))
    same = all(data[at + i : stop + i : length] == data[at + i : at + i + 1] * count for i in range(3))
    return count if same else 1


KBPS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version


@cache
def _frame(header: bytes) -> tuple[int, int]:
    """Length in bytes and in samples of the frame with this header, (0, 0) where it is none of layer III."""
    word = int.from_bytes(header, "big")
    version, layer, kbps, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or kbps in {0, 15} or rate == 3:
        return 0, 0
    samples = 1152 if version == 3 else 576
    bits = (KBPS_1 if version == 3 else KBPS_2)[kbps] * 1000
    return samples // 8 * bits // RATES[version][rate] + (word >> 9 & 1), samples


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
