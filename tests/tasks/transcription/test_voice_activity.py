"""Speech is found where it is, whatever blocks it comes in, by the detectors that are installed."""

import itertools
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.transcription import voice_activity
from tasks.transcription.silero_network import PIECE, SileroNetwork
from tasks.transcription.voice_activity import PACKAGES, VadConfig, check_installed, find_speech, pad_runs, speech_runs

SAY = """
import sys
import numpy as np
from tasks.corpora.readers.demo import Espeak, VOICES
espeak = Espeak()
voices = VOICES["train"]
said = [espeak.say(text, voices[i]) for i, text in enumerate(["open the red door in the kitchen", "move the lamp now"])]
np.savez(sys.argv[1], *said, rate=espeak.sample_rate)
"""


@given(st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]), max_size=60), st.integers(1, 4), st.integers(0, 4))
def test_runs_are_what_their_rule_says(scores, least, patience):
    """Against the rule read literally: piece by piece, looking at all pieces before it."""
    config = VadConfig(kind="webrtc", min_speech_ms=100 * least, min_silence_ms=100 * patience)
    found = list(speech_runs(scores, 0.1, config))
    inside, expected, k = None, [], 0
    for k, score in enumerate(scores):
        if inside is None:
            inside = k if score >= 0.5 else None
            continue
        last = max(i for i in range(inside, k + 1) if scores[i] >= 0.5)
        quiet = next((i for i in range(last + 1, k + 1) if scores[i] < 0.35), None)
        if quiet is not None and scores[k] < 0.35 and k + 1 - quiet >= patience:
            expected.append((inside, quiet))
            inside = None
    if inside is not None:
        last = max(i for i in range(inside, len(scores)) if scores[i] >= 0.5)
        expected.append((inside, next((i for i in range(last + 1, len(scores)) if scores[i] < 0.35), len(scores))))
    assert found == [(a, b) for a, b in expected if b - a >= least]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=20), st.floats(0, 5))
def test_padding_never_makes_two_meet(lengths, pad):
    edges = np.cumsum(lengths).tolist()
    runs = list(zip(edges[::2], edges[1::2], strict=False))
    padded = list(pad_runs(runs, pad))
    assert len(padded) == len(runs)
    for (begin, end), (first, last) in zip(padded, runs, strict=True):
        assert 0 <= begin <= first < last <= end <= last + pad
        assert begin >= first - pad
    assert all(one[1] <= other[0] + 1e-9 for one, other in itertools.pairwise(padded))


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Two sentences and the rate."""
    pytest.importorskip("espeakng_loader")
    path = tmp_path_factory.mktemp("said") / "a.npz"
    subprocess.run([sys.executable, "-W", "ignore", "-c", SAY, str(path)], check=True)
    with np.load(path, allow_pickle=False) as said:
        waves = [said[name].astype(np.float32) for name in ("arr_0", "arr_1")]
        return [wave / max(1.0, float(np.abs(wave).max())) for wave in waves], int(said["rate"])


@pytest.mark.parametrize("kind", ["silero", "webrtc"])
def test_sentences_with_a_pause_between(speech, kind):
    find_spec(PACKAGES[kind]) or pytest.skip(f"{kind} is not installed")
    (one, other), rate = speech
    noise = np.random.default_rng(0).standard_normal(2 * rate).astype(np.float32) * 1e-4
    wave = np.concatenate((noise, one, noise, other, noise[: rate // 2]))
    threads = torch.get_num_threads()
    spans = list(find_speech([wave], rate, VadConfig(kind=kind)))
    assert torch.get_num_threads() == threads
    assert len(spans) == 2
    truth = [(2 * rate, 2 * rate + len(one)), (4 * rate + len(one), 4 * rate + len(one) + len(other))]
    for span, (begin, end) in zip(spans, truth, strict=True):
        assert abs(span.begin - begin) < 0.35 * rate
        assert abs(span.end - end) < 0.35 * rate
    for size in (rate // 3, 100_003):
        blocks = (wave[i : i + size] for i in range(0, len(wave), size))
        assert list(find_speech(blocks, rate, VadConfig(kind=kind))) == spans
    again = list(find_speech([wave], rate, VadConfig(kind=kind)))
    assert again == spans, "nothing is carried on from one recording to the next"


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_network_is_the_package_s(speech):
    """Piece by piece, as the package runs it."""
    package = find_spec(PACKAGES["silero"]) or pytest.skip("silero-vad is not installed")
    model, wave = Path(package.origin).parent / "data" / "silero_vad.jit", torch.from_numpy(speech[0][0])
    pieces = wave[: len(wave) // PIECE * PIECE].view(-1, PIECE)
    theirs = torch.jit.load(str(model)).eval()
    theirs.reset_states()
    with torch.no_grad():
        expected = torch.tensor([float(theirs(piece[None], 16000)) for piece in pieces])
    network = SileroNetwork(model).eval()
    found = torch.cat([network(part) for part in pieces.split(17)])
    assert expected.max() > 0.9
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["silero", "webrtc"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_silence_and_nothing(kind, rate):
    find_spec(PACKAGES[kind]) or pytest.skip(f"{kind} is not installed")
    assert list(find_speech([], rate, VadConfig(kind=kind))) == []
    assert list(find_speech([np.zeros(rate * 2, np.float32)], rate, VadConfig(kind=kind))) == []


def test_what_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(voice_activity, "find_spec", lambda name: None)
    for kind, package in (("silero", "silero-vad"), ("webrtc", "webrtcvad")):
        with pytest.raises(UserError, match=rf"{package} is not installed; pip install 'scriptorium\[vad\]'"):
            check_installed(VadConfig(kind=kind))
    check_installed(VadConfig())
    with pytest.raises(ValueError, match="between 0 and 1"):
        VadConfig(threshold=1.5)
