"""A recording of any format: libsndfile's, and where PyAV is installed m4a, mp4, webm and what else FFmpeg reads."""

import tempfile
from importlib.util import find_spec

import numpy as np

from infra.errors import UserError
from tasks.audio.audio_io import BadClip, mix_channels
from tasks.audio.block_decoders import NEEDS_AV, FFmpegDecoder, told
from tasks.audio.live_audio_input import AudioInput, decode_audio_input, read_bytes


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
            raise UserError(f"{problem}; {NEEDS_AV}") from problem
        return decode_container(name, data, problem.__cause__)


def decode_container(name: str, data: bytes, bad: BadClip) -> AudioInput:
    """The first audio stream of a container's bytes. bad: what libsndfile says of them, raised where FFmpeg knows them
    no better. Raises UserError.
    """
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            with FFmpegDecoder(file.fileno(), bad) as decoder:
                parts = [mix_channels(block.samples) for block in decoder.blocks()]
        except BadClip as problem:
            raise UserError(f"{name}: {told(problem)}") from problem
    samples = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if not len(samples):
        raise UserError(f"{name}: no samples")
    if decoder.flaws:
        raise UserError(f"{name}: {decoder.flaws[0]}")
    if not np.isfinite(samples).all():
        raise UserError(f"{name}: not finite (the samples hold NaN or infinity)")
    return AudioInput(samples, decoder.rate, "decoded by FFmpeg")
