"""Known transcripts with their times: against all alignments, and of tones with known ends."""

import itertools
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from textgrid_reader import read_textgrid
from torch import nn
from untrained import CTC, TRANSDUCER, bundle_of, loaded, tokenizer

from infra.errors import UserError
from models import wav2letter
from models.interface import Beam, Padded
from tasks.audio.live_audio_input import AudioInput
from tasks.bundles.model_bundle import AudioConfig, Bundle
from tasks.decoding.alignment.forced_alignment import AlignedTranscript, CTCAligner
from tasks.features.front_end import CMVN, FrontEnd
from tasks.steps.in_process import run_in_process
from tasks.text.tokenizer import load_tokenizer

RATE = 16000


class Told(nn.Module):
    """A model that emits what it is told, whatever it hears."""

    config, reduction = None, 1

    def __init__(self, log_probs, reduction=1):
        super().__init__()
        self.log_probs, self.reduction = log_probs, reduction

    def emit(self, source):
        steps = -(-source.lengths // self.reduction)
        return Padded(self.log_probs[None, : int(steps)], steps)


class Ear(nn.Module):
    """Hears one band for each letter: log p is as loud as the band is, blank where nothing is."""

    config, reduction = None, 1

    def emit(self, source):
        loud = source.data[..., :]  # (B, T, bands), one for each letter
        quiet = torch.full_like(loud[..., :1], -4.0)
        return Padded(torch.cat((quiet, loud.new_full((*loud.shape[:2], 3), -50.0), loud), -1).log_softmax(-1),
                      source.lengths)  # fmt: skip


def told(log_probs, symbols, reduction=1):
    given = AudioConfig(FrontEnd(kind="given"), CMVN("none"))
    return Bundle(Told(log_probs, reduction), load_tokenizer(tokenizer(symbols)), given, Beam())


def frames(count):
    return AudioInput(np.zeros((count, 13), np.float32), 100)


def best_path(log_probs, ids):
    """By going through all of them."""

    def said(path):
        return [token for token, _ in itertools.groupby(path) if token]

    steps, symbols = len(log_probs), sorted({0, *ids})
    paths = [p for p in itertools.product(symbols, repeat=steps) if said(p) == ids]
    return max(paths, key=lambda p: sum(float(log_probs[t, c]) for t, c in enumerate(p)))


@pytest.mark.parametrize("text", ["ab", "a b", "aa", "b aa", "a"])
@pytest.mark.parametrize("seed", range(3))
def test_against_all_alignments(artifact_root, text, seed):
    torch.manual_seed(seed)
    log_probs = (2 * torch.randn(7, 7, dtype=torch.float64)).log_softmax(-1)
    found = CTCAligner(told(log_probs, [" ", "a", "b"]), "m")(frames(7), text)
    ids = [{" ": 4, "a": 5, "b": 6}[c] for c in text]
    runs, at = [], 0
    for token, group in itertools.groupby(best_path(log_probs, ids)):
        length = len(list(group))
        if token:
            sure = max(math.exp(log_probs[t, token]) for t in range(at, at + length))
            runs.append((round(at * 0.01, 4), round((at + length) * 0.01, 4), pytest.approx(sure)))
        at += length
    assert [(t.begin, t.end, t.confidence) for t in found.tokens] == runs
    assert [w.text for w in found.words] == text.split()
    ends = [k for k, c in enumerate([*text, " "]) if c == " "]
    begins = [0, *(k + 1 for k in ends[:-1])]
    for word, first, end in zip(found.words, begins, ends, strict=True):
        assert (word.begin, word.end) == (runs[first][0], runs[end - 1][1])
        product = math.prod(t.confidence for t in found.tokens[first:end])
        assert word.confidence == pytest.approx(product ** (1 / (end - first)))


def spoken(text, letter_ms=120, pause_ms=80):
    """A tone for each letter, with silence before and after; the wave, and of each letter but blanks [begin, end)."""
    wave, times = [np.zeros(RATE // 2)], []
    for character in text:
        n = RATE * (letter_ms if character != " " else pause_ms) // 1000
        begin = sum(map(len, wave)) / RATE
        tone = 0.3 * np.sin(2 * np.pi * HERTZ[character] * np.arange(n) / RATE) if character in HERTZ else np.zeros(n)
        wave.append(tone)
        times.append((begin, begin + n / RATE))
    return np.concatenate([*wave, np.zeros(RATE // 2)]).astype(np.float32), times


SPELLED = "abcdef"
HERTZ = {c: 700 + 900 * k for k, c in enumerate(SPELLED)}


class Tones(Ear):
    """The same from 80 mel bands: the one that a letter's tone is in."""

    def emit(self, source):
        centers = torch.linspace(2595 * math.log10(1 + 20 / 700), 2595 * math.log10(1 + 8000 / 700), 82)[1:-1]
        bands = [int((centers - 2595 * math.log10(1 + HERTZ[c] / 700)).abs().argmin()) for c in SPELLED]
        space = torch.full_like(source.data[..., :1], -4.5)
        return super().emit(Padded(torch.cat((space, source.data[..., bands]), -1), source.lengths))


def test_tones_lie_where_they_sound(artifact_root):
    sound = AudioConfig(FrontEnd(), CMVN("none"))
    bundle = Bundle(Tones(), load_tokenizer(tokenizer([" ", *SPELLED])), sound, Beam())
    text = "abc fed bad"
    wave, times = spoken(text)
    found = CTCAligner(bundle, "m")(AudioInput(wave, RATE), text.upper() + "!")
    assert [w.text for w in found.words] == ["abc", "fed", "bad"]
    for token, character, (begin, end) in zip(found.tokens, text, times, strict=True):
        assert token.text == character
        if character != " ":
            assert abs(token.begin - begin) <= 0.025
            assert abs(token.end - end) <= 0.025
    for word, (first, last) in zip(found.words, ((0, 2), (4, 6), (8, 10)), strict=True):
        assert abs(word.begin - times[first][0]) <= 0.025
        assert abs(word.end - times[last][1]) <= 0.025


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "transcript is empty"),
        (" !? ", "empty once it is normalized"),
        ("ab xyz ab", "cannot spell 'xyz'"),
        ("x y z w v", "cannot spell 'x', 'y', 'z' and 2 more"),
        ("ababab", r"too long for the audio: 6 tokens need 6 steps, 0.05 s have 5"),
        ("aaa a", r"5 tokens need 7 steps"),
    ],
)
def test_what_cannot_be_aligned_is_one_line(artifact_root, text, says):
    aligner = CTCAligner(told(torch.zeros(5, 7).log_softmax(-1), [" ", "a", "b"]), "m")
    with pytest.raises(UserError, match=says) as caught:
        aligner(frames(5), text)
    assert "\n" not in str(caught.value)


def test_nan_and_the_impossible(artifact_root):
    log_probs = torch.zeros(5, 7).log_softmax(-1)
    log_probs[:, 6] = -torch.inf
    with pytest.raises(UserError, match="impossible"):
        CTCAligner(told(log_probs, [" ", "a", "b"]), "m")(frames(5), "ab")
    bad = frames(5)
    bad.samples[2, 3] = np.nan
    with pytest.raises(UserError, match="NaN or infinity, first in frame 2"):
        CTCAligner(told(log_probs, [" ", "a", "b"]), "m")(bad, "ab")


def test_what_would_take_too_much_memory(artifact_root, monkeypatch):
    aligner = CTCAligner(told(torch.zeros(5, 7).log_softmax(-1), [" ", "a", "b"]), "m")
    monkeypatch.setattr("tasks.decoding.alignment.forced_alignment.MOST_CELLS", 15)
    assert aligner(frames(5), "ab").words[0].text == "ab"
    with pytest.raises(UserError, match="0 s with 3 tokens are too much to align at once"):
        aligner(frames(5), "aba")


def test_models_without_emissions_of_ctc_are_refused(artifact_root):
    asg = wav2letter.Config(channels=(8,), windows=(3,), dilations=(1,), strides=(2,))
    for config in (TRANSDUCER, asg):
        with pytest.raises(UserError, match="m@x: alignment asks for a CTC model"):
            CTCAligner(loaded(config), "m@x")
    CTCAligner(loaded(replace(asg, criterion="ctc")), "m@x")


def run(monkeypatch, *arguments):
    from flows.align import main

    monkeypatch.setattr(sys, "argv", ["align", *map(str, arguments)])
    main()


def test_the_command(artifact_root, tmp_path, monkeypatch, capsys):
    bundle = bundle_of(CTC)
    soundfile.write(tmp_path / "a b.wav", np.random.default_rng(0).standard_normal(RATE) * 0.1, RATE)
    (tmp_path / "text.txt").write_text("Abc, \nfed!\n")
    run(monkeypatch, "--model", bundle.uri, "--audio", tmp_path / "a b.wav", "--text", tmp_path / "text.txt")
    rows = [line.split(" ") for line in capsys.readouterr().out.splitlines()]
    assert [(r[0], r[1], r[4]) for r in rows] == [("a_b", "1", "abc"), ("a_b", "1", "fed")]
    out = tmp_path / "new" / "a.TextGrid"
    told = ["--text", "abc fed", "--format", "textgrid", "--out", out]
    run(monkeypatch, "--model", bundle.uri, "--audio", tmp_path / "a b.wav", *told)
    tiers, end = read_textgrid(out.read_text())
    assert [text for _, _, text in tiers["words"] if text] == ["abc", "fed"]
    assert end == 1.0
    for text, audio, says in (("xyz", "a b.wav", "cannot spell"), ("abc", "no.wav", "cannot be read")):
        with pytest.raises(SystemExit):
            run(monkeypatch, "--model", bundle.uri, "--audio", tmp_path / audio, "--text", text)
        line = capsys.readouterr().err
        assert says in line
        assert line.count("\n") == 1
        assert audio in line
    with pytest.raises(SystemExit):
        run(monkeypatch, "--model", bundle.uri, "--audio", "a.wav")


def test_a_split(artifact_root, tmp_path, capsys):
    from flows.align import align_corpus
    from tasks.decoding.alignment.alignment_formats import write_split
    from tasks.decoding.alignment.forced_alignment import read_alignments

    bundle, rows = bundle_of(CTC), []
    for k, text in enumerate(["abc", "fed cab", "zoo"]):
        wave = np.random.default_rng(k).standard_normal(RATE // 2 * (k + 1)) * 0.1
        soundfile.write(tmp_path / f"clip{k}.wav", wave, RATE)
        rows.append(json.dumps({"audio_filepath": f"clip{k}.wav", "text": text, "speaker": "s"}))
    (tmp_path / "dev.jsonl").write_text("\n".join(rows))
    with run_in_process():
        found = align_corpus(bundle.uri, f"manifest:{tmp_path}", "dev")
        assert align_corpus(bundle.uri, f"manifest:{tmp_path}", "dev") == found
    said = read_alignments(found)
    assert [[w.text for w in a.words] if isinstance(a, AlignedTranscript) else a[:26] for a in said.values()] == [
        ["abc"], ["fed", "cab"], "the model's tokens cannot "
    ]  # fmt: skip
    assert write_split(said, "dev", tmp_path / "out", "ctm").startswith("2 of 3 utterances aligned")
    assert len((tmp_path / "out" / "dev.ctm").read_text().splitlines()) == 3
    assert (tmp_path / "out" / "problems.txt").read_text().startswith("clip2\tthe model's tokens cannot spell 'zoo'")
    write_split(said, "dev", tmp_path / "grids", "textgrid")
    assert sorted(p.name for p in (tmp_path / "grids").iterdir()) == [
        "clip0.TextGrid",
        "clip1.TextGrid",
        "problems.txt",
    ]
    with pytest.raises(UserError, match="none of 1"):
        write_split({"x": "bad"}, "dev", tmp_path / "none", "ctm")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_split(said, "dev", tmp_path / "file", "ctm")
