"""Silence is as quiet as its utterance or quieter, and joined utterances have their frames and transcripts in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_corpus import LETTERS, made

from tasks.batches.batch_loader import UtteranceDataset
from tasks.features.augment import AugmentConfig, generator
from tasks.features.front_end import CMVN, FLOOR
from tasks.features.silence import concatenate_utterances, make_silence
from tasks.ingest.shard_index import read_index
from tasks.text.tokenizer import load_tokenizer


def utterance(time=60, size=12, seed=0):
    """A loud part between quiet ones."""
    random = np.random.default_rng(seed)
    level = np.where(np.abs(np.arange(time) - time / 2) < time / 4, 2.0, -8.0)[:, None]
    return (level + 0.3 * random.standard_normal((time, size))).astype(np.float32)


@given(st.integers(0, 200), st.integers(0, 50))
def test_silence_is_at_the_noise_floor_or_below(count, seed):
    frames = utterance()
    silence = make_silence(frames, count, generator(0, 0, str(seed)))
    assert silence.shape == (count, 12)
    assert silence.dtype == np.float32
    if count > 50:
        assert np.log(FLOOR) - 1e-4 <= silence.min()
        assert np.exp(silence).mean() < 1.5 * np.exp(frames[:10]).mean()


@given(st.integers(1, 4), st.integers(0, 80), st.integers(0, 20))
def test_utterances_stand_in_order_with_silence_between(count, longest, seed):
    utterances = [utterance(30 + 7 * k, seed=k) for k in range(count)]
    joined = concatenate_utterances(utterances, longest, generator(0, 0, str(seed)))
    at = 0
    for frames in utterances:
        places = [p for p in range(at, at + longest + 1) if np.array_equal(joined[p : p + len(frames)], frames)]
        assert places
        at = places[0] + len(frames)
    assert len(joined) - at <= longest


def test_the_config_is_for_log_power():
    config = AugmentConfig(silence_frames=9, concatenate=0.5)
    assert not config.nothing
    config.check("log_mel")
    for kind in ("mfcc", "waveform", "given"):
        with pytest.raises(ValueError, match=r"augment\.concatenate is for log power"):
            config.check(kind)
    with pytest.raises(ValueError, match="share"):
        AugmentConfig(concatenate=1.5)
    with pytest.raises(ValueError, match="not negative"):
        AugmentConfig(silence_frames=-1)


def test_a_batch_holds_joined_transcripts(artifact_root, tmp_path):
    """As often as is asked, in frames enough, the same every time; and none where an epoch is not augmented."""
    features, tokenizer = made(tmp_path, 40)
    config = AugmentConfig(concatenate=0.5, silence_frames=10, from_epoch=1)
    index = read_index(features, "train")
    rows = UtteranceDataset(features, index, CMVN("none"), config, 3, load_tokenizer(tokenizer))
    every, texts = np.arange(40), index["text"].to_pylist()
    clean, batch, again = rows.batch(every, 0), rows.batch(every, 1), rows.batch(every, 1)
    np.testing.assert_array_equal(batch.source.data, again.source.data)
    joined = 0
    for row in range(40):
        ids = batch.target.data[row, : batch.target.lengths[row]].tolist()
        spelled = "".join(LETTERS[i - 4] for i in ids)
        assert spelled.startswith(texts[row])
        if spelled != texts[row]:
            joined += 1
            assert any(spelled[len(texts[row]) :].startswith(text) for text in texts), "this alphabet has no space"
        assert batch.source.lengths[row] >= 4 * len(ids), "all frames of all letters"
        assert clean.target.lengths[row] == len(texts[row])
    assert 10 < joined < 30
