"""A long recording that many utterances are pieces of: it is decoded once, from its start on, for all of them."""

import math
from contextlib import ExitStack

import numpy as np
import soundfile

from tasks.audio.audio_io import check_levels, mix_channels, open_sound, piece_bounds, samples_spared
from tasks.audio.bad_clip import BadClip
from tasks.audio.container import complete_header, fault_in

BLOCK_SECONDS = 30  # decoded at once; what is held is as long as a piece and a block


class Recording:
    """Gives pieces of a clip's bytes. As long as they come in the order of their starts, each part is decoded once and
    no more is held than a piece needs; one that begins before the last one did has the decoding begin anew.

    channels: as of `decode_clip`. Raises BadClip where the clip is not what its container says.
    """

    def __init__(self, data: bytes, channels: tuple[int, ...] = ()) -> None:
        self.data, self.channels, self.opened = complete_header(data), channels, ExitStack()
        self._begin()

    def cut(self, span: tuple[float, float], max_seconds: float = math.inf) -> tuple[np.ndarray, int]:
        """The piece (samples,) from span[0] seconds on, span[1] seconds long or to the end where that is infinite, and
        the sample rate. Raises BadClip where it lies outside, is longer than max_seconds or does not decode.
        """
        start, stop = piece_bounds(span, self.file.frames, self.rate)
        if stop - start > max_seconds * self.rate:
            raise BadClip("too long", f"{(stop - start) / self.rate:.2f} s")
        if start < self.at:
            self._begin()
        while self.at + len(self.held) < stop and not self.ended:
            self._decode(start)
        self._forget(start)
        wave = self.held[: stop - start]
        check_levels(wave)
        return wave, self.rate

    def close(self) -> None:
        self.opened.close()

    def _begin(self) -> None:
        self.close()
        self.file = self.opened.enter_context(open_sound(self.data))
        self.rate, self.ended = self.file.samplerate, False
        self.memory = np.empty((BLOCK_SECONDS * self.rate, self.file.channels), np.float32)
        self.at, self.held = 0, np.zeros(0, np.float32)  # the first sample that is held, and what is held

    def _decode(self, start: int) -> None:
        """One block more, from which on what lies before `start` is no longer held."""
        try:
            count = self.file.buffer_read_into(self.memory, "float32")
        except soundfile.SoundFileError as error:
            raise BadClip(fault_in(self.data), str(error)) from error
        self._forget(start)
        self.held = np.concatenate([self.held, mix_channels(self.memory[:count], self.channels)])
        self.ended, there = count == 0, self.at + len(self.held)
        if self.ended and there < self.file.frames - samples_spared(self.file):
            raise BadClip("truncated", f"{there} samples of {self.file.frames} decode")

    def _forget(self, start: int) -> None:
        spent = min(max(start - self.at, 0), len(self.held))
        self.at, self.held = self.at + spent, self.held[spent:]
