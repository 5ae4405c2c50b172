"""Every frame is accounted for: whatever is speech, wherever the file is damaged, whatever blocks it comes in."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.audio.audio_blocks import AudioBlocks, open_audio
from tasks.audio.block_decoders import Block
from tasks.audio.live_audio_input import AudioInput
from tasks.features.front_end import FrontEnd
from tasks.transcription import stream_windows
from tasks.transcription.assemble_transcript import Reading, WindowReading, assemble_transcript
from tasks.transcription.coverage import Interval, RecordingSummary, check_coverage
from tasks.transcription.stream_windows import SegmentationConfig, WindowStream
from tasks.transcription.transcript import Alternative, Word
from tasks.transcription.voice_activity import DETECTORS, VadConfig
from tasks.transcription.windows import WindowConfig

RATE = 1000
FRONT_END = FrontEnd(kind="waveform", sample_rate=RATE, hop_ms=10, normalize="none")
WINDOWS = WindowConfig(max_seconds=5, overlap_seconds=1)


class LoudIsSpeech:
    """A detector that hears what is written: the level of a piece is how probable speech is in it."""

    piece = 512

    def __init__(self, _config):
        pass

    def __call__(self, pieces):
        return pieces.abs().mean(1).clamp(0, 1).tolist()


@contextmanager
def loud_is_speech():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DETECTORS, "silero", LoudIsSpeech)
        patch.setattr("tasks.transcription.voice_activity.check_installed", lambda config: None)
        yield


class Damaged:
    """Samples of which some places are missing."""

    def __init__(self, samples, holes, size):
        self.samples, self.holes, self.size = samples, holes, size
        self.rate, self.channels, self.frames, self.flaws, self.loudest = RATE, samples.shape[1], len(samples), [], 8.0

    def blocks(self):
        edges = sorted({0, len(self.samples), *itertools.chain(*self.holes), *range(0, len(self.samples), self.size)})
        for begin, end in itertools.pairwise(edges):
            if not any(a <= begin < b for a, b in self.holes):
                yield Block(begin, self.samples[begin:end])


@st.composite
def recordings(draw):
    """Speech, silence and what is between, of two channels, with holes and a damaged end."""
    parts = draw(st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.integers(1, 9000)), min_size=1, max_size=12))
    level = np.concatenate([np.full(n, loud, np.float32) for loud, n in parts])
    samples = np.stack([level, np.roll(level, draw(st.integers(0, 5000)))], 1)
    edges = sorted(draw(st.sets(st.integers(0, len(level)), max_size=6)))
    holes = list(zip(edges[::2], edges[1::2], strict=False))
    if draw(st.booleans()):
        holes.append((draw(st.integers(max([0, *edges]), len(level))), len(level)))
    return samples, [(a, b) for a, b in holes if a < b]


def stream(samples, holes, size, kind):
    audio = AudioBlocks(Damaged(samples, holes, size), (0, 1), mixed=False)
    config = SegmentationConfig(vad=VadConfig(kind=kind), windows=WINDOWS)
    windows = WindowStream(audio, FRONT_END, config)
    found = list(windows)
    return found, windows.summary


@given(recordings(), st.sampled_from([700, 3000, 50_000]), st.sampled_from(["none", "silero"]))
def test_every_frame_has_one_fate(recording, size, kind):
    samples, holes = recording
    with loud_is_speech():
        windows, summary = stream(samples, holes, size, kind)
        _, other = stream(samples, holes, 1234, kind)
    check_coverage(summary.intervals, len(samples))
    for channel in (0, 1):
        mine = [interval for interval in summary.intervals if interval.channel == channel]
        assert sum(interval.end - interval.begin for interval in mine) == len(samples)
        failed = [interval for interval in mine if interval.fate == "failed"]
        missing = np.zeros(len(samples), bool)
        for a, b in holes:
            missing[a:b] = True
        assert sum(interval.end - interval.begin for interval in failed) == missing.sum()
        assert all(missing[interval.begin : interval.end].all() for interval in failed)
        covered = np.zeros(len(samples), bool)
        for window in windows:
            if window.channel == channel:
                assert 0 < window.end - window.begin <= 5 * RATE
                covered[window.begin : window.end] = True
                expected = samples[window.begin : window.end, channel].astype(np.float16)
                np.testing.assert_array_equal(window.features.flatten()[: len(expected)], expected)
        decoded = np.zeros(len(samples), bool)
        for interval in mine:
            decoded[interval.begin : interval.end] = interval.fate == "decoded"
        assert (covered == decoded).all()
    if kind == "silero":  # speech does not depend on the blocks it comes in
        assert other == summary
    transcript = assemble_transcript(
        summary, [WindowReading(w.channel, w.begin, w.end, oracle(samples, w)) for w in reversed(windows)]
    )
    check_coverage(transcript.coverage, len(samples))
    numbers = [interval.segment for interval in transcript.coverage if interval.fate == "decoded"]
    assert sorted(numbers) == list(range(len(transcript.segments)))
    for interval in transcript.coverage:
        if interval.segment is not None:
            segment = transcript.segments[interval.segment]
            assert (round(segment.start * RATE), round(segment.end * RATE)) == (interval.begin, interval.end)
    spoken = [w.text for segment in transcript.segments if segment.channel == 0 for w in segment.words]
    assert len(spoken) == len(set(spoken)), "no word twice"


def oracle(samples, window):
    """A word a third of a second, named by its place; what a window cuts is not heard."""
    step = RATE // 3
    first = -(-window.begin // step)
    words = [
        Word(
            f"w{window.channel}.{k}",
            k * step / RATE - window.begin / RATE,
            (k + 1) * step / RATE - window.begin / RATE,
            1.0,
        )
        for k in range(first, window.end // step)
    ]
    return Reading(tuple(words), (Alternative(" ".join(w.text for w in words), -1.0),), False)


def test_what_is_held_does_not_grow(monkeypatch):
    """Silence, speech without a pause, and both in turn."""
    most = 0

    class Watched(stream_windows._Stretch):
        def hear(self, samples):
            nonlocal most
            yield from super().hear(samples)
            most = max(most, len(self.held))

    monkeypatch.setattr(stream_windows, "_Stretch", Watched)
    with loud_is_speech():
        for level in (0.0, 0.9, None):
            loud = np.repeat(np.tile([0.0, 0.9], 150), 2 * RATE) if level is None else np.full(600 * RATE, level)
            windows, summary = stream(np.stack([loud.astype(np.float32)] * 2, 1), [], 3 * RATE, "silero")
            assert {interval.fate for interval in summary.intervals} <= {"silence", "decoded"}
            assert bool(windows) == (level != 0.0)
    assert most < 16 * RATE


def test_a_whole_short_recording_is_one_window():
    samples = np.zeros(4 * RATE, np.float32)
    with open_audio(AudioInput(samples, RATE)) as audio:
        (window,) = WindowStream(audio, FRONT_END, SegmentationConfig(windows=WINDOWS))
    assert (window.begin, window.end, window.whole) == (0, 4 * RATE, True)
    with open_audio(AudioInput(np.zeros(9 * RATE, np.float32), RATE)) as audio:
        assert not any(window.whole for window in WindowStream(audio, FRONT_END, SegmentationConfig(windows=WINDOWS)))


def test_what_does_not_add_up_is_refused():
    good = [Interval(0, 0, 5, "decoded"), Interval(0, 5, 9, "silence")]
    check_coverage(good, 9)
    for wrong, frames in ((good, 10), ([good[1]], 9), ([good[0], good[0]], 5)):
        with pytest.raises(ValueError, match="follow|reach"):
            check_coverage(wrong, frames)
    summary = RecordingSummary(rate=RATE, frames=9, intervals=tuple(good))
    reading = Reading((), (Alternative("", 0.0),), False)
    assert assemble_transcript(summary, [WindowReading(0, 0, 5, reading)]).text == ""
    for windows in (
        [],
        [WindowReading(0, 0, 4, reading)],
        [WindowReading(0, 0, 5, reading), WindowReading(1, 0, 5, reading)],
    ):
        with pytest.raises(ValueError, match="cover|no decoded"):
            assemble_transcript(summary, windows)
