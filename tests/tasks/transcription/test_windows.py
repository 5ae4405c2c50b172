"""Every sample of a recording is in one span, every sample of speech in a window, and no word lost at a seam."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.transcription.merge_windows import join_words
from tasks.transcription.transcript import Word
from tasks.transcription.windows import WindowConfig, WindowCutter


def cut_windows(size, rate, config, seed=0, blocks=1):
    """Of noise that is quieter here and there, and comes in blocks."""
    random, cutter = np.random.default_rng(seed), WindowCutter(rate, config)
    loud = np.repeat(random.random(size // 50 + 1), 50)[:size]
    samples = (loud * random.standard_normal(size)).astype(np.float32)
    found, at = [], 0
    for heard in [size * (k + 1) // blocks for k in range(blocks)]:
        windows, rest = cutter.cut(samples[at:heard], ended=heard == size)
        found, at = found + [(at + begin, at + end) for begin, end in windows], at + rest
    return found, samples


@given(st.integers(1, 60_000), st.sampled_from([100, 1000]), st.integers(1, 30), st.floats(0, 0.5), st.integers(1, 60))
def test_windows_cover_a_span(size, rate, longest, share, blocks):
    config = WindowConfig(max_seconds=longest, overlap_seconds=longest * share)
    windows, _ = cut_windows(size, rate, config, blocks=blocks)
    assert (windows[0][0], windows[-1][1]) == (0, size)
    assert all(0 < end - begin <= longest * rate for begin, end in windows)
    for (begin, end), (following, _) in itertools.pairwise(windows):
        assert begin < following
        assert end - following == int(config.overlap_seconds * rate)
    if blocks == 1 and size <= longest * rate:
        assert len(windows) == 1


def test_the_cut_is_where_it_is_quietest():
    rate, random = 8000, np.random.default_rng(3)
    samples = (0.1 * random.standard_normal(50 * rate)).astype(np.float32)
    pauses = [int(at * rate) for at in (13.0, 27.5, 40.0)]
    for at in pauses:
        samples[at - rate // 8 : at + rate // 8] *= 0.01
    windows, _ = WindowCutter(rate, WindowConfig(max_seconds=20, overlap_seconds=4)).cut(samples, ended=True)
    cuts = [(one[1] + other[0]) / 2 for one, other in itertools.pairwise(windows)]
    assert len(cuts) == 3
    assert all(min(abs(cut - at) for at in pauses) < rate / 20 for cut in cuts)


def cut(words, begin, end):
    """As a window hears them: what it cuts in two is some other word, or none."""
    heard = []
    for word in words:
        if begin <= word.start and word.end <= end:
            heard.append(word)
        elif word.start < end - 0.05 and word.end > begin + 0.05:
            heard.append(word._replace(text=word.text[:2] + "~", start=max(word.start, begin), end=min(word.end, end)))
    return heard


@given(st.integers(0, 10_000), st.floats(0.0, 0.4))
@example(384, 0.25)  # one word twice within a seventh of a second
def test_no_word_is_doubled_or_lost_at_a_seam(seed, jitter):
    random = np.random.default_rng(seed)
    words, at = [], 0.0
    while at < 60:
        length = random.uniform(0.08, 0.8)
        words.append(Word(str(random.choice(list("abcdefgh") + ["yes", "no"])), at, at + length, 1.0))
        at += length + (random.exponential(0.2) if random.random() < 0.8 else random.uniform(0.5, 3))
    joined, last = [], None
    for window in cut_windows(60_000, 1000, WindowConfig(max_seconds=12, overlap_seconds=3), seed)[0]:
        begin, end = window[0] / 1000, window[1] / 1000
        moved = [
            w._replace(start=w.start + d, end=w.end + d)
            for w, d in ((w, random.uniform(0, jitter) / 2) for w in cut(words, begin, end))
        ]
        joined = join_words(joined, moved, (begin, last)) if last else moved
        last = end
    truth = [word.text for word in words if word.end <= 60]
    assert [word.text for word in joined][: len(truth)] == truth


def test_windows_that_share_no_word():
    before = [Word("a", 0.0, 1.0, 1.0), Word("b", 8.2, 8.8, 1.0), Word("c", 9.4, 9.9, 1.0)]
    after = [Word("x", 8.0, 8.6, 1.0), Word("y", 9.3, 9.8, 1.0), Word("z", 11.0, 12.0, 1.0)]
    assert [w.text for w in join_words(before, after, (8.0, 10.0))] == ["a", "b", "y", "z"]
    timeless = [Word(t, None, None, 1.0) for t in "abcd"], [Word(t, None, None, 1.0) for t in "cdef"]
    assert "".join(w.text for w in join_words(*timeless, (8.0, 10.0))) == "abcdef"
    with pytest.raises(ValueError, match="at most half"):
        WindowConfig(max_seconds=4, overlap_seconds=3)
