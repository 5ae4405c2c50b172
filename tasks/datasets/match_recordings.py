"""Recordings that are the same sound, however they were encoded: by their fingerprints, then by the sound itself.

Haitsma and Kalker (2002): frames whose bits are equal, but for one, propose a pair of clips and an offset between them;
where the bits of all their frames differ in few places the two are compared as waves. Waves of two recordings of the
same words, even of one synthetic voice, do not correlate; those of one recording do through codecs, rates and gains.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tasks.features.acoustic_fingerprint import BITS, HOP, SAMPLE_RATE

MOST_POSTINGS = 2000  # of one hash: more say nothing
KEY_BITS = 20  # of a frame, those of the lower bands, which codecs change least
LEAST_FRAMES, LEAST_VOTES, FRAMES_A_VOTE = 5, 2, 40
COVERED = 0.6  # of the frames of the shorter clip
MOST_ERRORS = 0.3  # of the bits of the frames in common
CORRELATED = 0.7  # waves that overlap: of one recording above 0.9, of one voice's same word below 0.5
BAND_HZ = (150.0, 3400.0)
FINER = 8  # lags between two samples
SEARCH_SECONDS = 0.1  # around the offset that the frames say
OFFSETS = 1 << 20

_FLIPS = np.concatenate([[0], 1 << np.arange(KEY_BITS)]).astype(np.uint32)
_KEY = np.uint32((1 << KEY_BITS) - 1)


class Fingerprints(NamedTuple):
    """Of several clips: begins (clips + 1,) of each in hashes and times (frames,)."""

    begins: np.ndarray
    hashes: np.ndarray
    times: np.ndarray

    def of_clip(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(self.begins[number], self.begins[number + 1])
        return self.hashes[part], self.times[part]


class Match(NamedTuple):
    """asked, stored: numbers of the clips. seconds: into the stored one at which the other begins."""

    asked: int
    stored: int
    seconds: float
    errors: float


def join_fingerprints(prints: Iterable[tuple[np.ndarray, np.ndarray]]) -> Fingerprints:
    """hashes and times of each clip."""
    each = list(prints)
    begins = np.concatenate([[0], np.cumsum([len(hashes) for hashes, _ in each], dtype=np.int64)])
    hashes = np.concatenate([np.zeros(0, np.uint32), *(np.asarray(h, np.uint32) for h, _ in each)])
    return Fingerprints(
        begins, hashes, np.concatenate([np.zeros(0, np.int64), *(np.asarray(t, np.int64) for _, t in each)])
    )


def match_fingerprints(asked: Fingerprints, stored: Fingerprints) -> Iterator[Match]:
    """Pairs that are likely the same sound, the best offset of each."""
    keys = stored.hashes & _KEY
    order = np.argsort(keys, kind="stable")
    sorted_keys = keys[order]
    clip_of = np.repeat(np.arange(len(stored.begins) - 1), np.diff(stored.begins))
    for number in range(len(asked.begins) - 1):
        hashes, times = asked.of_clip(number)
        if len(hashes) < LEAST_FRAMES:
            continue
        found = dict[int, Match]()
        for other, offset in _proposals((hashes, times), sorted_keys, order, (clip_of, stored.times)):
            errors = _errors((hashes, times), stored.of_clip(other), offset)
            if errors <= MOST_ERRORS and (other not in found or errors < found[other].errors):
                found[other] = Match(number, other, offset * HOP / SAMPLE_RATE, errors)
        yield from found.values()


def _proposals(
    clip: tuple[np.ndarray, np.ndarray],
    keys: np.ndarray,
    order: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
) -> Iterator[tuple[int, int]]:
    """Stored clips and offsets in frames that enough frames vote for. keys: sorted; order: where each one lies."""
    probes = ((clip[0] & _KEY)[:, None] ^ _FLIPS).ravel()
    at = np.repeat(clip[1], len(_FLIPS))
    begin, end = np.searchsorted(keys, probes), np.searchsorted(keys, probes, "right")
    counts = end - begin
    counts[counts > MOST_POSTINGS] = 0
    total = int(counts.sum())
    if not total:
        return
    starts = np.repeat(begin - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    frames = order[starts + np.arange(total)]
    offsets = places[1][frames] - np.repeat(at, counts) + OFFSETS // 2
    codes = places[0][frames] * OFFSETS + offsets
    proposed, votes = np.unique(codes, return_counts=True)
    beside = np.zeros_like(votes)  # at the next offset: windows need not begin at the same sample
    beside[:-1] = np.where(proposed[1:] == proposed[:-1] + 1, votes[1:], 0)
    for code in proposed[votes + beside >= max(LEAST_VOTES, len(clip[0]) // FRAMES_A_VOTE)].tolist():
        yield code // OFFSETS, code % OFFSETS - OFFSETS // 2


def _errors(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], offset: int) -> float:
    """The share of bits that differ, 1.0 where too few frames meet."""
    least = max(LEAST_FRAMES, COVERED * min(len(one[0]), len(other[0])))
    best = 1.0
    for shift in (offset, offset + 1):
        at = np.searchsorted(other[1], one[1] + shift)
        meets = at < len(other[1])
        meets[meets] = other[1][at[meets]] == one[1][meets] + shift
        if meets.sum() >= least:
            different = np.bitwise_count(one[0][meets] ^ other[0][at[meets]])
            best = min(best, float(different.mean()) / BITS)
    return best


def correlate(one: np.ndarray, other: np.ndarray, seconds: float) -> float:
    """How far two waves at SAMPLE_RATE are the same where they overlap, 0 to 1. seconds: into `other` at which `one`
    begins, about.
    """
    size = 1 << int(np.ceil(np.log2(len(one) + len(other))))
    low, high = _band(one), _band(other)
    crossed, finer = np.fft.rfft(high, size) * np.fft.rfft(low, size).conj(), FINER * size
    lags = FINER * np.fft.irfft(crossed, finer)  # a recording that was cut begins between two samples
    middle, reach = round(seconds * SAMPLE_RATE), round(SEARCH_SECONDS * SAMPLE_RATE)
    shifts = np.arange(FINER * (middle - reach), FINER * (middle + reach) + 1)
    best = int(shifts[np.abs(lags[shifts % finer]).argmax()])
    shift = round(best / FINER)
    begin, end = max(0, -shift), min(len(low), len(high) - shift)
    if end <= begin:
        return 0.0
    a, b = low[begin:end], high[begin + shift : end + shift]
    return min(1.0, float(abs(lags[best % finer]) / np.sqrt(max((a @ a) * (b @ b), 1e-30))))


def _band(wave: np.ndarray) -> np.ndarray:
    """Its second derivative, for what tells recordings apart is not in the loud low harmonics, in the band."""
    spectrum = np.fft.rfft(wave.astype(np.float64))
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    spectrum *= np.where((hertz >= BAND_HZ[0]) & (hertz <= BAND_HZ[1]), (hertz / 1000) ** 2, 0)
    return np.fft.irfft(spectrum, len(wave))
