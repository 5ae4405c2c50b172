"""Listening: the final text is that of the offline greedy search, words come in time, and what is shown of them."""

import io
import json
import os
import signal
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from tones import recognizer_of_tones, spoken
from untrained import BOTH_WAYS, CTC, FORWARD, TRANSDUCER, bundle_of, loaded, tokenizer, with_front_end

from flows.listen import main
from infra.errors import UserError
from infra.keyboard_interrupt import note_interrupt
from models import rnn_transducer
from models.interface import Beam
from tasks.audio.live_audio_input import pcm_chunks, read_audio_input
from tasks.bundles.model_bundle import AudioConfig, load_bundle
from tasks.decoding.streaming_recognizer import (
    IncrementalRecognizer,
    LatencyStats,
    RecomputingRecognizer,
    make_recognizer,
    transcribe_stream,
)
from tasks.features.front_end import CMVN, FrontEnd, extract_frames

GREEDY = Beam(width=1)


def sound(seconds, rate=16000, seed=0):
    """Noise whose loudness and color change many times a second."""
    random, n = np.random.default_rng(seed), round(seconds * rate)
    steps = np.interp(np.arange(n), np.linspace(0, n, round(12 * seconds) + 2), random.random(round(12 * seconds) + 2))
    tone = np.sin(2 * np.pi * np.cumsum(200 + 3000 * steps) / rate)
    return ((0.3 * tone + 0.05 * random.standard_normal(n)) * steps[::-1]).astype(np.float32)


def offline(bundle, wave, rate, beam=GREEDY):
    """As tasks/features/extract_features.py stores it and tasks/decoding/decode_speech.py searches it."""
    source = bundle.source(extract_frames(wave, rate, bundle.front_end).astype(np.float16))
    return " ".join(bundle.tokenizer.decode(bundle.model.search(source, beam)[0][0].tokens).split())


def chunked(wave, size):
    return [wave[i : i + size] for i in range(0, len(wave), size)]


def heard_by(bundle, wave, rate, size):
    shown = []
    ear = make_recognizer(bundle, rate, GREEDY)
    delays = transcribe_stream(ear, chunked(wave, size), rate, shown.append)
    return ear, shown, delays


def text_of(heard):
    return " ".join(word.text for word in heard.words)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
@pytest.mark.parametrize("chunk_ms", [10, 200, 1234])
def test_a_transducer_that_reads_forward_writes_what_it_writes_of_the_whole(artifact_root, rate, chunk_ms):
    written = set()
    for seed in range(3):
        bundle, wave = loaded(TRANSDUCER, seed=seed), sound(2.5, rate, seed)
        expected = offline(bundle, wave, rate)
        ear, shown, delays = heard_by(bundle, wave, rate, rate * chunk_ms // 1000)
        assert isinstance(ear, IncrementalRecognizer)
        assert text_of(shown[-1]) == expected
        assert shown[-1].final == len(shown[-1].words) == len(expected.split())
        written.update(expected.split())
        for before, after in zip(shown, shown[1:], strict=False):
            assert after.words[: before.final] == before.words[: before.final], "what is final stays"
            assert after.final >= before.final
        assert len(shown) == len(delays.of_chunks) == -(-len(wave) // (rate * chunk_ms // 1000)) + 1
        assert delays.seconds == pytest.approx(len(wave) / rate)
    assert len(written) > 2


@pytest.mark.parametrize(
    ("options", "seed"), [(FORWARD | {"time_reduction": 1, "left_frames": 3}, 1), (FORWARD | {"stride": 1}, 3)]
)
def test_other_forms_of_it(artifact_root, options, seed):
    bundle, wave = loaded(rnn_transducer.Config(**options), seed=seed), sound(1.7, seed=seed)
    assert text_of(heard_by(bundle, wave, 16000, 3200)[1][-1]) == offline(bundle, wave, 16000) != ""


@pytest.mark.parametrize(
    ("config", "how", "named"),
    [
        (BOTH_WAYS, None, "the model"),
        (CTC, None, "the model"),
        (TRANSDUCER, with_front_end(trim_db=30.0), "features.trim_db=30"),
        (TRANSDUCER, with_front_end(range_db=30.0), "features.range_db=30"),
        (TRANSDUCER, AudioConfig(FrontEnd(mels=20), CMVN("utterance")), "features.normalize=utterance"),
    ],
)
def test_what_needs_the_whole_says_so_and_ends_with_the_same_text(artifact_root, config, how, named):
    bundle, wave = loaded(config, how), sound(4.0)
    ear, shown, delays = heard_by(bundle, wave, 16000, 3200)
    assert isinstance(ear, RecomputingRecognizer)
    assert ear.said.startswith(f"{named} needs the whole utterance")
    assert text_of(shown[-1]) == offline(bundle, wave, 16000)
    assert [heard.final for heard in shown[:-1]] == [0] * (len(shown) - 1)
    assert shown[-1].final == len(shown[-1].words)
    assert len(shown) == 4 + 1  # after 1, 2, 3 and 4 s, and at the end: the interval is not below a second
    assert len(delays.of_chunks) == 20 + 1


def test_intervals_grow_with_what_was_heard(artifact_root):
    _, shown, delays = heard_by(loaded(CTC), sound(12.0), 16000, 1600)
    assert len(shown) == len([1.0, 2.0, 3.0, 4.0, 5.0, 6.3, 7.9, 9.9]) + 1
    assert len(delays.of_chunks) == 121


def test_words_have_the_times_of_their_tokens(artifact_root):
    bundle, wave = loaded(TRANSDUCER), sound(2.5)
    words = heard_by(bundle, wave, 16000, 3200)[1][-1].words
    assert all(0 <= w.begin < w.end <= 2.52 for w in words)
    assert all(a.end <= b.begin + 0.04 for a, b in zip(words, words[1:], strict=False))  # one step of 40 ms at most
    source = bundle.source(extract_frames(wave, 16000, bundle.front_end).astype(np.float16))
    best = bundle.model.search(source, GREEDY)[0][0]
    first = next(k for k, t in enumerate(best.tokens) if bundle.tokenizer.decode([t]).strip())
    assert words[0].begin == pytest.approx(0.04 * best.spans[first][0])


def test_tokens_that_are_words_are_final_at_once(artifact_root):
    tokens = tokenizer(["ape", "bee", "cat", "dog"], "words")
    bundle, wave = loaded(TRANSDUCER, tokens=tokens), sound(2.0)
    shown = heard_by(bundle, wave, 16000, 3200)[1]
    assert text_of(shown[-1]) == offline(bundle, wave, 16000) != ""
    assert all(heard.final == len(heard.words) for heard in shown)


def test_given_frames_in_chunks(artifact_root, tmp_path):
    given = AudioConfig(FrontEnd(kind="given"), CMVN("none"))
    bundle = loaded(TRANSDUCER, given)
    frames = np.random.default_rng(0).standard_normal((120, 13)).astype(">f4")
    path = tmp_path / "one.mfc"
    path.write_bytes(np.array([frames.size], ">i4").tobytes() + frames.tobytes())
    recording, shown = read_audio_input(str(path)), []
    transcribe_stream(
        make_recognizer(bundle, recording.rate, GREEDY), recording.chunks(200), recording.rate, shown.append
    )
    best = bundle.model.search(bundle.source(frames.astype(np.float16)), GREEDY)[0][0]
    assert text_of(shown[-1]) == " ".join(bundle.tokenizer.decode(best.tokens).split()) != ""
    for ear in (make_recognizer(bundle, 16000, GREEDY), make_recognizer(loaded(CTC, given), 16000, GREEDY)):
        with pytest.raises(UserError, match=r"cepstra"):
            transcribe_stream(ear, [sound(1.5)], 16000, shown.append)


def test_a_clip_of_a_few_samples(artifact_root):
    for config in (TRANSDUCER, CTC):
        for samples in (1, 10, 256, 257, 399, 401):
            bundle, wave = loaded(config), sound(0.1)[:samples]
            assert text_of(heard_by(bundle, wave, 16000, 100)[1][-1]) == offline(bundle, wave, 16000)


def test_features_that_hold_nan_are_one_line(artifact_root):
    wave = sound(1.5)
    wave[12000] = np.nan
    for config in (TRANSDUCER, CTC):
        with pytest.raises(UserError, match="NaN or infinity") as caught:
            heard_by(loaded(config), wave, 16000, 3200)
        assert "\n" not in str(caught.value)


def test_delays_are_those_of_live_sound():
    """Chunks of 1 s, each takes 0.5 s; the third is shown with the second, and the fourth takes 3 s."""
    delays = LatencyStats()
    for work, shown in ((0.5, True), (0.5, False), (0.5, True), (3.0, True)):
        delays.arrived(1.0)
        delays.done(work, shown=shown)
    delays.arrived(0.0)
    delays.done(0.25, shown=True)
    assert delays.of_chunks == [0.5, 1.5, 0.5, 3.0, 3.25]
    assert str(delays) == ("4.00 s heard: 1750 ms from a chunk to its words, at worst 3250 ms; real-time factor 1.188")


def test_the_clock_is_read_around_the_work_alone(artifact_root):
    ticks = iter(range(1000))
    delays = transcribe_stream(
        make_recognizer(loaded(TRANSDUCER), 16000, GREEDY), chunked(sound(0.6), 3200), 16000, lambda _: None,
        clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert delays.worked == 4.0
    np.testing.assert_allclose(delays.of_chunks, [1.0, 1.8, 2.6, 3.6])


def pcm(wave):
    return np.round(wave * 32767).astype("<i2").tobytes()


def test_samples_on_a_pipe():
    data = pcm(sound(0.5))
    chunks = list(pcm_chunks(io.BytesIO(data + b"x"), 16000, 200))
    assert [len(c) for c in chunks] == [3200, 3200, 1600]
    np.testing.assert_array_equal(np.concatenate(chunks), np.frombuffer(data, "<i2") / np.float32(32768))


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "no samples"), (b"x", "no samples"), (b"RIFF1234WAVE", "a WAV file"), (b"fLaC00", "FLAC")]
)
def test_what_is_no_sound_on_a_pipe_is_one_line(data, says):
    with pytest.raises(UserError, match=says):
        list(pcm_chunks(io.BytesIO(data), 16000, 200))


def test_files_of_many_channels_and_bad_ones(tmp_path):
    wave = np.stack([sound(0.5, seed=k) for k in range(8)], 1)
    soundfile.write(tmp_path / "eight.wav", wave, 16000, subtype="FLOAT")
    found = read_audio_input(str(tmp_path / "eight.wav"))
    np.testing.assert_allclose(found.samples, wave.mean(1), atol=1e-6)
    assert found.said == "8 channels, of which the mean is heard"
    soundfile.write(tmp_path / "empty.wav", wave[:0], 16000)
    (tmp_path / "nothing.wav").write_bytes(b"")
    broken = wave.copy()
    broken[5, 3] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    (tmp_path / "text.flac").write_text("no sound")
    (tmp_path / "one.raw").write_bytes(b"x")
    cases = {"empty.wav": "no samples", "nothing.wav": "empty file", "nan.wav": "not finite", "text.flac": "not audio",
             "one.raw": "no samples", "none.wav": "cannot be read"}  # fmt: skip
    for name, says in cases.items():
        with pytest.raises(UserError, match=f"{name}: {says}") as caught:
            read_audio_input(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "dab cab bad"], ids=["untrained", "trained"])
def test_the_command(text, artifact_root, tmp_path, monkeypatch, capsys):
    """On a file and on bare samples the text of the offline greedy search, of a trained model what was spoken."""
    bundle = recognizer_of_tones() if text else bundle_of(TRANSDUCER)
    data = pcm(spoken(text, np.random.default_rng(1)) if text else sound(1.2, 8000))
    samples = np.frombuffer(data, "<i2")
    soundfile.write(tmp_path / "a.wav", samples, 8000)

    def said(*given):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        monkeypatch.setattr(sys, "argv", ["listen", "--model", bundle.uri, *given])
        main()
        return capsys.readouterr()

    def searched(most):
        return offline(load_bundle(bundle), samples.astype(np.float32) / 32768, 8000, Beam(width=1, max_length=most))

    assert searched(5000) == (text or searched(5000)) != ""
    of_file = said(str(tmp_path / "a.wav"), "--json")
    rows = [json.loads(line) for line in of_file.out.splitlines()]
    assert " ".join(row["text"] for row in rows if row["final"]) == searched(5000)
    assert "each word is final as it is written (resampled from 8000 to 16000 Hz)" in of_file.err.splitlines()[0]
    assert of_file.err.splitlines()[-1].startswith(f"{len(samples) / 8000:.2f} s heard:")
    whole = said("-", "--rate", "8000", "--max-length", "5000")
    assert whole.out == searched(5000) + "\n"
    assert "nothing more was written" not in of_file.err + whole.err
    short = said("-", "--rate", "8000", "--chunk-ms", "70", "--max-length", "3")
    assert short.out == searched(3) + "\n"
    assert short.err.splitlines()[-2] == "after 3 tokens nothing more was written: raise --max-length"
    with pytest.raises(SystemExit, match="1"):
        said(str(tmp_path / "b.wav"))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def piped(monkeypatch):
    """`piped(data)`: standard input is a pipe that this was written to and that stays open; its writer."""
    opened = []

    def pipe(data):
        reader, writer = os.pipe()
        opened.extend([reader, writer])
        os.write(writer, data)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.FileIO(reader, closefd=False)))
        return writer

    yield pipe
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.parametrize("config", [TRANSDUCER, BOTH_WAYS], ids=["frame by frame", "again and again"])
@pytest.mark.parametrize("when", ["while it waits", "while it works"])
def test_ctrl_c_ends_what_is_said_and_loses_nothing(config, when, artifact_root, piped, monkeypatch, capsys):
    """What stands in the pipe is heard to the end, whatever Ctrl-C meets, though nobody closes the pipe."""
    bundle, data = bundle_of(config), pcm(sound(1.27, 8000))
    samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
    recognizer = IncrementalRecognizer if config is TRANSDUCER else RecomputingRecognizer
    real, heard, timers = recognizer.hear, [], []

    def hear(self, chunk, *, last):
        heard.append(len(chunk))
        if when == "while it works" and len(heard) == 2:
            signal.raise_signal(signal.SIGINT)
        if when == "while it waits" and sum(heard) > len(samples) - 1000 and not timers:
            timers.append(threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGINT]))
            timers[0].start()
        return real(self, chunk, last=last)

    monkeypatch.setattr(recognizer, "hear", hear)
    piped(data)
    monkeypatch.setattr(sys, "argv", ["listen", "--model", bundle.uri, "--rate", "8000", "--chunk-ms", "90", "-"])
    before = signal.getsignal(signal.SIGINT)
    main()
    for timer in timers:
        timer.join()
    said = capsys.readouterr()
    assert said.out.strip() == offline(load_bundle(bundle), samples, 8000, GREEDY) != ""
    assert f"{len(samples) / 8000:.2f} s heard" in said.err
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_a_word_and_twice_is_an_end(artifact_root, piped, monkeypatch, capsys):
    bundle, real = bundle_of(TRANSDUCER), IncrementalRecognizer.hear
    monkeypatch.setattr(sys, "argv", ["listen", "--model", bundle.uri, "--rate", "8000", "-"])
    piped(b"")
    with monkeypatch.context() as patch:
        patch.setattr("flows.listen.print_note", lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(SystemExit, match="130"):
            main()
    assert capsys.readouterr().err.splitlines()[-1] == "scriptorium: interrupted"

    def hear(self, chunk, *, last):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return real(self, chunk, last=last)

    monkeypatch.setattr(IncrementalRecognizer, "hear", hear)
    piped(pcm(sound(1.0, 8000)))
    with pytest.raises(SystemExit, match="130"):
        main()


def test_half_a_sample_waits_for_the_other_half(piped):
    data = pcm(sound(0.3, 8000))
    writer = piped(data[:1001])
    with note_interrupt() as interrupt:
        chunks = pcm_chunks(sys.stdin.buffer, 8000, 50, interrupt)
        found = [next(chunks)]
        os.write(writer, data[1001:])
        signal.raise_signal(signal.SIGINT)
        found += chunks
    assert (np.concatenate(found) * 32768).astype("<i2").tobytes() == data
