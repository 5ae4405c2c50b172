"""Frames in chunks are those of the whole, whatever the rate, the window and the chunks; and what has no stream."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.bundles.model_bundle import AudioConfig
from tasks.decoding.streaming_features import FrameStream, ResampleStream, TransformStream, needs_whole
from tasks.features.front_end import CMVN, FrontEnd, extract_frames, resampler

SECOND = np.random.default_rng(0).standard_normal(96000).astype(np.float32) * 0.1
FRONT_ENDS = [
    FrontEnd(mels=20),
    FrontEnd(kind="mfcc", mels=20),
    FrontEnd(kind="log_spectrogram", window_ms=20.0),
    FrontEnd(kind="log_spectrogram", sample_rate=11025, window_ms=25.0, hop_ms=15.0),  # an odd number of samples
    FrontEnd(mels=20, window_ms=32.0, hop_ms=7.5),  # a window of 2^9 samples
    FrontEnd(mels=20, window_ms=20.0, hop_ms=30.0),  # samples that no window covers
    FrontEnd(mels=10, sample_rate=8000),
    FrontEnd(kind="waveform", hop_ms=7.5, normalize="none"),
]


def pieces(length, cuts):
    ends = sorted({min(cut, length) for cut in cuts} | {length})
    return list(zip([0, *ends], ends, strict=False))


def fed(stream, samples, cuts):
    parts = [stream(samples[a:b], last=False) for a, b in pieces(len(samples), cuts)]
    return [*parts, stream(samples[:0], last=True)]


@settings(max_examples=60)
@given(st.sampled_from(FRONT_ENDS), st.integers(0, 4000), st.lists(st.integers(0, 4000), max_size=12))
def test_frames_in_chunks_are_those_of_the_whole(front_end, length, cuts):
    wave = SECOND[:length].astype(np.float64)
    parts = fed(TransformStream(front_end), torch.from_numpy(wave).float(), cuts)
    expected = extract_frames(wave, front_end.sample_rate, front_end)
    found = torch.cat(parts).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=40)
@given(
    st.sampled_from([8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 96000]),
    st.sampled_from([8000, 16000]),
    st.integers(1, 9000),
    st.lists(st.integers(0, 9000), max_size=8),
)
def test_resampled_in_chunks_is_the_whole(source, target, length, cuts):
    wave = torch.from_numpy(SECOND[:length])
    found = torch.cat(fed(ResampleStream(source, target), wave, cuts))
    expected = resampler(source, target)(wave) if source != target else wave
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_what_a_model_reads_is_what_it_was_trained_to_read(rate):
    """Samples one at a time at first, then chunks; resampled, stored as float16, normalized."""
    front_end = FrontEnd(mels=20)
    sound = AudioConfig(front_end, CMVN("corpus", tuple(np.linspace(-4, 1, 20)), tuple(np.linspace(1, 3, 20))))
    wave = SECOND[: rate // 3]
    expected = sound.normalizer(extract_frames(wave, rate, front_end).astype(np.float16))
    found = np.concatenate(fed(FrameStream(sound, rate), wave, [*range(40), *range(0, rate, rate // 13)]))
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    np.testing.assert_allclose(found, expected, atol=0.01)  # a step of float16
    assert (found != expected).mean() < 0.02


def test_a_frame_comes_as_soon_as_its_samples_are_there():
    framed, counts = TransformStream(FrontEnd(mels=20)), []
    for begin in range(0, 1600, 160):
        counts.append(len(framed(torch.from_numpy(SECOND[begin : begin + 160]), last=False)))
    assert counts == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]  # frame t needs the samples up to 160 t + 256
    assert len(framed(torch.empty(0), last=True)) == 2  # of 11


@pytest.mark.parametrize(
    ("options", "kind", "named"),
    [
        ({"trim_db": 30.0}, "corpus", "features.trim_db=30"),
        ({"range_db": 40.0}, "none", "features.range_db=40"),
        ({"frames": 32}, "none", "features.frames=32"),
        ({}, "utterance", "features.normalize=utterance"),
        ({}, "level", "features.normalize=level"),
    ],
)
def test_what_needs_the_whole_utterance_is_named(options, kind, named):
    sound = AudioConfig(FrontEnd(mels=20, **options), CMVN(kind))
    assert needs_whole(sound) == named
    with pytest.raises(UserError, match=named):
        FrameStream(sound, 16000)


def test_given_frames_pass_and_the_wrong_kind_is_one_line():
    frames = np.random.default_rng(1).standard_normal((7, 13)).astype(np.float32)
    ready = FrameStream(AudioConfig(FrontEnd(kind="given"), CMVN("none")), 100)
    np.testing.assert_array_equal(ready(frames, last=False), frames.astype(np.float16))
    with pytest.raises(UserError, match="reads cepstra"):
        ready(SECOND, last=False)
    with pytest.raises(UserError, match="holds cepstra"):
        FrameStream(AudioConfig(FrontEnd(), CMVN("none")), 100)(frames, last=False)
