"""A recording as a program has it: the path of a file, its bytes, or samples."""

import os
from typing import Any

import numpy as np

from infra.errors import UserError
from tasks.audio.audio_blocks import AudioSource
from tasks.audio.audio_io import CEPSTRA
from tasks.audio.live_audio_input import AudioInput
from tasks.audio.read_recording import decode_recording, read_recording

Audio = str | os.PathLike[str] | bytes | np.ndarray


def to_samples_or_file(audio: Audio, rate: int | None = None) -> AudioSource:
    """What is read block by block (audio_blocks.py); samples as `to_audio_input` has them."""
    if isinstance(audio, bytes | bytearray | memoryview):
        return bytes(audio)
    return os.fspath(audio) if isinstance(audio, str | os.PathLike) else to_audio_input(audio, rate)


def to_audio_input(audio: Audio, rate: int | None = None) -> AudioInput:
    """rate: of samples; a file has its own. Raises UserError for what is no sound, is cut off, or has no rate."""
    if isinstance(audio, bytes | bytearray | memoryview):
        return decode_recording("the bytes given", bytes(audio))
    if isinstance(audio, str | os.PathLike):
        return read_recording(os.fspath(audio))
    if rate is None or rate <= 0:
        raise UserError("samples need their rate in hertz, above 0, beside them")
    return AudioInput(to_samples(audio), rate)


def to_samples(given: Any) -> np.ndarray:
    """Samples (n,) float32, or frames (n, 13) where the model's corpus held cepstra. Raises UserError for others."""
    samples = np.asarray(given)
    if samples.ndim != 1 and not (samples.ndim == 2 and samples.shape[1] == CEPSTRA):
        raise UserError(f"samples of one channel are asked for, (n,), not of shape {samples.shape}: take their mean")
    if samples.dtype in (np.int16, np.int32):
        return (samples / (np.iinfo(samples.dtype).max + 1)).astype(np.float32)
    if not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"samples are floats in [-1, 1], or int16 or int32, not {samples.dtype}")
    return samples.astype(np.float32)
