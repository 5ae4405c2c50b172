"""Front ends against torchaudio and arithmetic; augmentation by what it claims."""

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from tasks.features.augment import AugmentConfig, generator, interpolate, mask, reshape
from tasks.features.front_end import CMVN, FLOOR, FrontEnd, extract_frames, feature_size, fit_cmvn, given_frames

WAVE = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1


@pytest.mark.parametrize(("window_ms", "hop_ms"), [(25.0, 10.0), (32.0, 15.0), (20.0, 7.5)])
def test_log_mel_is_torchaudios_at_any_window_and_hop(window_ms, hop_ms):
    front_end = FrontEnd(window_ms=window_ms, hop_ms=hop_ms, mels=40)
    n_fft = 1 << (front_end.window - 1).bit_length()
    peer = torchaudio.transforms.MelSpectrogram(16000, n_fft, front_end.window, front_end.hop, n_mels=40, f_min=20.0)
    expected = (peer(torch.from_numpy(WAVE)) + FLOOR).log().T.numpy()
    found = extract_frames(WAVE, 16000, front_end)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert len(found) == len(WAVE) // front_end.hop + 1


@pytest.mark.parametrize(
    ("window_ms", "hop_ms", "rate"), [(20.0, 10.0, 16000), (25.0, 15.0, 16000), (25.0, 10.0, 8000)]
)
def test_log_spectrogram_is_that_of_torch(window_ms, hop_ms, rate):
    front_end = FrontEnd(kind="log_spectrogram", window_ms=window_ms, hop_ms=hop_ms, sample_rate=rate)
    size = front_end.window
    found = extract_frames(WAVE, rate, front_end)
    window = torch.hann_window(size)
    spectrum = torch.stft(torch.from_numpy(WAVE), size, front_end.hop, window=window, return_complex=True)
    np.testing.assert_allclose(found, (spectrum.abs() ** 2 + FLOOR).log().T.numpy(), rtol=1e-4, atol=1e-4)
    assert found.shape[1] == feature_size(front_end, 0) == size // 2 + 1
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate).astype(np.float32)
    peak = int(extract_frames(tone, rate, front_end).mean(0).argmax())
    assert peak == round(1000 * size / rate)
    AugmentConfig(warp=0.1, snr_db=(0, 10), frequency_masks=1).check("log_spectrogram")


@pytest.mark.parametrize(("mels", "fitting"), [(161, 126), (128, 126)])
def test_empty_filters_are_refused_by_name(mels, fitting):
    """Those that torchaudio's own bank has, and no more than are said to fit."""
    with pytest.raises(
        ValueError, match=rf"features\.mels={mels}: \d+ of the filters .* are empty, .* features\.mels={fitting}"
    ):
        FrontEnd(mels=mels).check_filters()
    bank = torchaudio.functional.melscale_fbanks(257, 20.0, 8000.0, fitting, 16000)
    assert (bank.sum(0) > 0).all()
    for whole in (FrontEnd(mels=80), FrontEnd(mels=40, sample_rate=8000), FrontEnd(mels=161, window_ms=128.0)):
        whole.check_filters()
    FrontEnd(kind="log_spectrogram", mels=161).check_filters()


@pytest.mark.parametrize("value", [-13.8155, 0.0, 3.14159, 250.3])
def test_a_constant_coefficient_stays_small_whatever_was_rounded(value):
    """As stored in float16, whose step at 13.8 is 0.0078: the statistics of what was not stored would make it +301."""
    exact, stored = np.full((100, 3), value), np.full((100, 3), value).astype(np.float16)
    for frames in (exact, stored.astype(np.float64)):
        sums = {"frames": 100, "sum": frames.sum(0).tolist(), "squares": (frames**2).sum(0).tolist()}
        assert np.abs(fit_cmvn(sums, FrontEnd())(stored)).max() < 1
    for kind in ("utterance", "level"):
        assert np.abs(CMVN(kind)(stored)).max() < 1


def test_mfcc_has_its_coefficients():
    assert extract_frames(WAVE, 16000, FrontEnd(kind="mfcc", cepstra=13, mels=40)).shape == (101, 13)


def test_a_waveform_is_its_samples_a_hop_a_frame():
    read = FrontEnd(kind="waveform", hop_ms=7.5, normalize="level")
    frames = extract_frames(WAVE, 16000, read)
    assert frames.shape == (134, feature_size(read, 0)) == (134, 120)
    np.testing.assert_array_equal(frames.flatten()[: len(WAVE)], WAVE)
    assert not frames.flatten()[len(WAVE) :].any()
    assert extract_frames(WAVE[:0], 16000, read).shape == (1, 120)
    with pytest.raises(ValueError, match="samples have no bands"):
        FrontEnd(kind="waveform")
    with pytest.raises(ValueError, match=r"augment\.warp is for spectra"):
        AugmentConfig(warp=0.1).check("waveform")
    AugmentConfig(time_masks=2, noise=0.1).check("waveform")


def test_resampling_keeps_a_tone_where_it_is():
    time = np.arange(44100) / 44100
    tone = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    low, high = (extract_frames(w, r, FrontEnd(mels=40)) for w, r in ((tone, 44100), (tone[::1], 44100)))
    direct = extract_frames(
        np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32), 16000, FrontEnd(mels=40)
    )
    assert np.array_equal(low, high)
    assert (low[5:-5].mean(0).argmax(), len(low)) == (direct[5:-5].mean(0).argmax(), len(direct))


def test_a_clip_shorter_than_a_window_still_has_a_frame():
    assert len(extract_frames(WAVE[:10], 16000, FrontEnd(mels=40))) >= 1


def test_corpus_normalizer_gives_mean_0_variance_1():
    frames = [np.random.default_rng(i).normal(3, 2, (50 + i, 5)) for i in range(10)]
    every = np.concatenate(frames)
    sums = {"frames": len(every), "sum": every.sum(0).tolist(), "squares": (every**2).sum(0).tolist()}
    done = np.concatenate([fit_cmvn(sums, FrontEnd())(f) for f in frames])
    np.testing.assert_allclose(done.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(done.std(0), 1, atol=1e-4)
    one = CMVN("utterance")(frames[0])
    np.testing.assert_allclose((one.mean(0), one.std(0)), (np.zeros(5), np.ones(5)), atol=1e-3)


def test_all_cepstra_of_a_spectrum_give_it_back_and_the_first_ones_a_smooth_one():
    spectrum, bands = np.random.default_rng(1).normal(5, 2, (7, 24)), np.arange(24)
    cosines = np.cos(np.pi * np.outer(np.arange(24), bands + 0.5) / 24)
    cepstra, read = spectrum @ cosines.T / 24, FrontEnd(kind="given", bands=24)
    np.testing.assert_allclose(given_frames(cepstra, read), spectrum, atol=1e-5)
    smooth = given_frames(cepstra[:, :13], read)
    np.testing.assert_allclose(smooth @ cosines.T / 24, np.where(np.arange(24) < 13, cepstra, 0), atol=1e-5)
    assert smooth.shape[1] == feature_size(read, 13) == 24
    assert given_frames(cepstra, FrontEnd(kind="given")) is cepstra


@pytest.mark.parametrize("wrong", [{"hop_ms": 0}, {"low_hz": 9000}, {"high_hz": 9000.0}, {"bands": 24}])
def test_impossible_front_ends_are_refused(wrong):
    with pytest.raises(ValueError, match="features"):
        FrontEnd(**wrong)


@given(st.integers(20, 60), st.integers(12, 20))
def test_augmentation_depends_on_seed_epoch_and_key_alone(time, size):
    config = AugmentConfig(time_masks=2, frequency_masks=2, speed=0.2, warp=0.1, gain=1, tilt=1, noise=0.3)
    frames = np.random.default_rng(0).standard_normal((time, size)).astype(np.float32)

    def made(epoch, key):
        random = generator(7, epoch, key)
        return mask(reshape(frames.copy(), config, random, 1), config, random)

    np.testing.assert_array_equal(made(3, "a"), made(3, "a"))
    assert made(3, "a").shape != made(4, "b").shape or not np.array_equal(made(3, "a"), made(4, "b"))


@given(st.integers(1, 80), st.integers(1, 80))
def test_stretching_leaves_the_frames_that_are_asked_for(time, least):
    frames = np.ones((time, 3), np.float32)
    assert len(reshape(frames, AugmentConfig(speed=0.5), generator(0, 0, "k"), min(least, time))) >= min(least, time)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 20.0])
def test_added_noise_has_the_power_that_its_ratio_says_and_no_negative_part(snr_db):
    frames = np.random.default_rng(0).normal(-3, 2, (4000, 20)).astype(np.float32)
    signal = np.exp(frames.astype(np.float64))
    ratios = []
    for n in range(20):
        after = reshape(frames, AugmentConfig(snr_db=(snr_db, snr_db)), generator(0, 0, str(n)), 1)
        noise = np.exp(after.astype(np.float64)) - signal
        assert noise.min() > -1e-3 * signal.max()
        ratios.append(10 * np.log10(signal.mean() / noise.mean()))
    assert np.abs(np.array(ratios) - snr_db).max() < 0.3
    for wrong in ((3.0,), (5.0, 1.0)):
        with pytest.raises(ValueError, match="snr_db"):
            AugmentConfig(snr_db=wrong)


def test_interpolation_is_linear():
    ramp = np.arange(10, dtype=np.float32)[:, None]
    places = np.array([0.0, 0.25, 4.5, 9.0])
    np.testing.assert_allclose(interpolate(ramp, places)[:, 0], places)


def test_masks_are_no_wider_than_allowed():
    config = AugmentConfig(time_masks=1, time_mask_frames=7, frequency_masks=1, frequency_mask_bins=3)
    for n in range(200):
        masked = mask(np.ones((100, 20), np.float32), config, generator(0, 0, str(n)))
        assert (masked == 0).all(1).sum() <= 7
        assert (masked == 0).all(0).sum() <= 3


def test_what_is_quiet_before_and_after_is_cut_off():
    quiet, loud = np.zeros(8000, np.float32), WAVE[:8000]
    wave = np.concatenate([quiet, loud, quiet, loud, quiet])
    whole = extract_frames(wave, 16000, FrontEnd(mels=40))
    found = fit_cmvn({}, FrontEnd(mels=40, trim_db=30, normalize="none"))(whole)
    first = int(np.flatnonzero((whole[:, None] == found[0]).all(-1))[0])
    np.testing.assert_array_equal(found, whole[first : first + len(found)])
    assert 45 <= first <= 51  # half a second, less the window that reaches into the sound
    assert abs(len(found) - 150) <= 6  # the pause in the middle stays
    with pytest.raises(ValueError, match="trim_db"):
        FrontEnd(kind="mfcc", trim_db=20)


def test_the_range_is_limited_from_the_peak_down():
    whole = extract_frames(WAVE, 16000, FrontEnd(mels=40))
    found = fit_cmvn({}, FrontEnd(range_db=20, normalize="none"))(whole)
    lowest = whole.max() - 20 * np.log(10) / 10
    assert whole.min() < lowest
    np.testing.assert_allclose(found, np.maximum(whole, lowest), rtol=1e-6)


def test_what_is_said_fast_or_slowly_becomes_as_long():
    with_frames = fit_cmvn({}, FrontEnd(frames=30, trim_db=30, range_db=40, normalize="none"))
    slopes = np.arange(1, 4, dtype=np.float32) / 40
    for length in (1, 2, 17, 30, 61, 200):
        place = np.linspace(-1, 1, length, dtype=np.float32) if length > 1 else np.full(1, -1, np.float32)
        straight = with_frames(place[:, None] * slopes)  # linear in time, and nothing of it quiet: so is what comes out
        expected = (np.linspace(-1, 1, 30) if length > 1 else np.full(30, -1))[:, None] * slopes
        np.testing.assert_allclose(straight, expected, atol=1e-6)
    quiet = np.full((50, 3), -20, np.float32)
    spoken = np.concatenate([quiet, np.linspace(-1, 1, 11)[:, None] * slopes, quiet]).astype(np.float32)
    np.testing.assert_allclose(with_frames(spoken), expected, atol=1e-6)  # cut off first
    with pytest.raises(ValueError, match=r"features\.frames is not negative, and for log_mel"):
        FrontEnd(kind="mfcc", frames=20)


def test_level_keeps_the_shape_of_the_spectrum():
    frames = np.random.default_rng(1).standard_normal((30, 5)).astype(np.float32) + np.arange(5, dtype=np.float32)
    found = CMVN("level")(frames)
    np.testing.assert_allclose(found, CMVN("level")(3 * frames + 7), atol=1e-4)  # louder, or of more contrast
    assert abs(found.mean()) < 1e-5
    assert found[:, 4].mean() > found[:, 0].mean() + 1
