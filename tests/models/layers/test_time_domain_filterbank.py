"""Time-domain filter banks against the mel energies of a spectrogram, and their padding."""

import math

import pytest
import torch
import torchaudio

from models.interface import Padded
from models.layers.time_domain_filterbank import FilterBank, TimeDomainFilters, gabor, hertz, mel

torch.set_num_threads(1)

RATE = 16000
PLAIN = TimeDomainFilters(preemphasis=0.0, low_hz=0.0, learned=False)


def tone(hz, seconds=0.3, amplitude=0.5):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(int(RATE * seconds), dtype=torch.float64) / RATE)


def centers(config):
    return hertz(torch.linspace(mel(config.low_hz), mel(config.highest_hz), config.filters + 2))[1:-1]


def test_the_scale():
    assert mel(1000.0) == pytest.approx(1000, rel=1e-3)
    assert float(hertz(torch.tensor(mel(3456.0)))) == pytest.approx(3456, rel=1e-5)


@pytest.mark.parametrize("band", [0, 5, 12, 20, 31, 39])
def test_the_energy_of_a_tone(band):
    """In the middle of a filter it is that of half the tone, a^2 / 4, times the low-pass' sum; filters far away are
    silent.
    """
    bank, amplitude = FilterBank(PLAIN).double(), 0.5
    frames = bank(Padded.stack([tone(float(centers(PLAIN)[band]), amplitude=amplitude)])).data[0]
    heard = frames[len(frames) // 2].expm1()
    full = (amplitude * PLAIN.scale) ** 2 / 4 * float(bank.window[0].sum())
    assert float(heard[band]) == pytest.approx(full, rel=0.02)
    assert int(heard.argmax()) == band
    for far in {band - 4, band + 4} & set(range(40)):
        assert heard[far] < 0.01 * full


def test_equal_to_mel_energies():
    """The same tones through a power spectrogram and triangles: where filters are wide beside a window's own band, the
    energies agree within a quarter at the peak and on both sides of it; everywhere the loudest filter is the same.
    """
    spectrum = 2048
    triangles = torchaudio.transforms.MelSpectrogram(
        RATE, spectrum, win_length=PLAIN.window, hop_length=PLAIN.hop, f_max=RATE / 2, n_mels=40
    ).double()
    bank = FilterBank(PLAIN).double()
    for band in range(2, 40, 4):
        samples = tone(float(centers(PLAIN)[band]))
        theirs = triangles(samples * PLAIN.scale)[:, 15] / spectrum
        ours = bank(Padded.stack([samples])).data[0, 15].expm1()
        assert int(ours.argmax()) == int(theirs.argmax()) == band
        if band >= 14:
            torch.testing.assert_close(ours[band], theirs[band], rtol=0.25, atol=0)
    between = (centers(PLAIN)[30] + centers(PLAIN)[31]) / 2
    samples = tone(float(between))
    theirs = triangles(samples * PLAIN.scale)[30:32, 15] / spectrum
    torch.testing.assert_close(bank(Padded.stack([samples])).data[0, 15, 30:32].expm1(), theirs, rtol=0.25, atol=0)


def test_the_width_of_a_wavelet():
    """A quarter of the power is left at 3/8 of the triangle's base from its middle."""
    n, wavelets = 25, gabor(PLAIN).double()
    edges = hertz(torch.linspace(0, mel(RATE / 2), 42, dtype=torch.float64))[n : n + 3]
    time = torch.arange(PLAIN.window, dtype=torch.float64)
    wavelet = torch.complex(wavelets[n], wavelets[n + 40])
    power = [
        torch.dot(wavelet, torch.polar(torch.ones_like(time), 2 * math.pi * hz / RATE * time)).abs() ** 2
        for hz in (edges[1], edges[1] - 0.375 * (edges[2] - edges[0]), edges[1] + 0.375 * (edges[2] - edges[0]))
    ]
    assert [float(p) for p in power] == pytest.approx([1, 0.25, 0.25], rel=1e-2)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    bank = FilterBank(TimeDomainFilters(filters=8, learned_window=True)).double()
    torch.nn.init.normal_(bank.window)
    rows = [torch.randn(n, dtype=torch.float64) for n in (1000, 1, 480, 161)]
    out = bank(Padded.stack(rows, fill=float("nan")))
    assert out.lengths.tolist() == [7, 1, 3, 2]
    for b, row in enumerate(rows):
        alone = bank(Padded.stack([row])).data[0]
        assert len(alone) == out.lengths[b]
        torch.testing.assert_close(out.data[b, : len(alone)], alone, rtol=1e-9, atol=1e-9)
        assert not out.data[b, len(alone) :].any()


@pytest.mark.parametrize("learned", [True, False])
def test_what_is_learned(learned):
    bank = FilterBank(TimeDomainFilters(learned=learned, learned_window=not learned))
    bank(Padded.stack([tone(700).float()])).data.sum().backward()
    assert (bank.wavelets.grad is not None) == learned
    assert (bank.window.grad is not None) != learned
    grad = bank.wavelets.grad if learned else bank.window.grad
    assert (grad.flatten(1).abs().sum(1) > 0).all()


def test_silence_is_zero():
    assert not FilterBank(TimeDomainFilters())(Padded.stack([torch.zeros(500)])).data.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "above 0"),
        ({"low_hz": 9000.0}, "low_hz is below"),
        ({"high_hz": 9000.0}, "low_hz is below"),
        ({"preemphasis": 1.0}, "preemphasis"),
        ({"hop_ms": 0.01}, "at least a sample"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TimeDomainFilters(**options)
