"""Two recordings of one sound are one wherever either begins; two sounds are not."""

import numpy as np
import pytest

from tasks.datasets.match_recordings import CORRELATED, correlate
from tasks.features.acoustic_fingerprint import SAMPLE_RATE, resample

RATE = 32000
NOISE = np.random.default_rng(0).standard_normal((2, 2 * RATE)).astype(np.float32)


@pytest.mark.parametrize("cut", [0, 3320, 3318, 3319, 3321])
def test_a_cut_between_two_samples(cut):
    whole, rest = resample(NOISE[0], RATE), resample(NOISE[0, cut:-999], RATE)
    assert correlate(whole, rest, -cut / RATE) > 0.98
    assert correlate(rest, whole, cut / RATE) > 0.98


def test_other_sound():
    assert correlate(*(resample(wave, RATE) for wave in NOISE), 0.0) < CORRELATED / 2


def test_no_overlap():
    assert correlate(np.ones(SAMPLE_RATE, np.float32), np.ones(SAMPLE_RATE, np.float32), 5.0) == 0.0
