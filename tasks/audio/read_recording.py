"""A recording of any format: libsndfile's, and where PyAV is installed m4a, mp4, webm and what else FFmpeg reads."""

import io
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from infra.errors import UserError
from tasks.audio.audio_io import BadClip
from tasks.audio.live_audio_input import AudioInput, decode_audio_input, read_bytes

MISSING_SHARE = 0.02  # of a container's length that may not decode: encoders pad, and some lengths are rounded


def read_recording(uri: str) -> AudioInput:
    """A file's samples, the mean of its channels. Raises UserError in one line for a file that is not there, is no
    sound, is cut off, or needs PyAV where that is not installed.
    """
    return decode_recording(uri, read_bytes(uri))


def decode_recording(name: str, data: bytes) -> AudioInput:
    """The same of a file's bytes. name: its path, or what else is said of it."""
    try:
        return decode_audio_input(name, data)
    except UserError as problem:
        if not isinstance(problem.__cause__, BadClip) or problem.__cause__.reason != "not audio":
            raise
        if find_spec("av") is None:
            hint = "m4a, mp4 and webm need PyAV: pip install 'scriptorium[containers]'"
            raise UserError(f"{problem}; {hint}") from problem
        found = decode_container(name, data)
        if found is None:
            raise
        return found


def decode_container(name: str, data: bytes) -> AudioInput | None:
    """The first audio stream of a container's bytes, None where FFmpeg knows them no better. name: for the message of a
    UserError.
    """
    av: Any = import_module("av")  # an extra: the type checker may not have it
    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.audio:
                raise UserError(f"{name}: no audio stream in it")
            stream = container.streams.audio[0]
            expected = _seconds(stream, container)
            parts, rate = _decoded(av, container, stream)
    except av.InvalidDataError:
        return None
    except av.FFmpegError as error:
        raise UserError(f"{name}: cannot be decoded ({error.strerror or error})") from error
    samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if not len(samples):
        raise UserError(f"{name}: no samples")
    if len(samples) < (1 - MISSING_SHARE) * expected * rate - rate / 10:
        raise UserError(f"{name}: truncated ({len(samples) / rate:.2f} s of {expected:.2f} decode)")
    if not np.isfinite(samples).all():
        raise UserError(f"{name}: not finite (the samples hold NaN or infinity)")
    return AudioInput(samples, rate, "decoded by FFmpeg")


def _seconds(stream: Any, container: Any) -> float:
    """As the container tells them; 0 where it does not."""
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6


def _decoded(av: Any, container: Any, stream: Any) -> tuple[list[np.ndarray], int]:
    """Mono float32 pieces at the rate of the first frame."""
    parts, resampler, rate = list[np.ndarray](), None, 0
    for frame in container.decode(stream):
        if resampler is None:
            rate = frame.sample_rate
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        parts += [made.to_ndarray()[0] for made in resampler.resample(frame)]
    if resampler is not None:
        parts += [made.to_ndarray()[0] for made in resampler.resample(None)]
    return parts, rate
