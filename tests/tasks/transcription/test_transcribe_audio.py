"""Recordings to transcripts: the text that is scored elsewhere, honest times and confidence, whatever is batched."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tone_reader import tone_reader
from tones import spoken
from untrained import BOTH_WAYS, CTC, TRANSDUCER, loaded

from infra.errors import UserError
from models import listen_attend_spell, wav2letter
from models.criteria.asg import path_occupancy
from models.interface import Beam
from tasks.audio.live_audio_input import AudioInput
from tasks.decoding.streaming_recognizer import stored_frames
from tasks.transcription.transcribe_audio import Transcriber, TranscriptionConfig
from tasks.transcription.windows import Span, WindowConfig
from tasks.transcription.word_confidence import search_with_probabilities, word_confidences, word_posteriors

RATE = 16000
ASG = wav2letter.Config(channels=(24,), windows=(5,), dilations=(1,), strides=(2,))
SPELLER = {"embedding_size": 12, "speller_size": 24, "attention_size": 16, "initial_range": 0.4, "listener_size": 16}
ATTENTION = listen_attend_spell.Config(reductions=(2, 2), **SPELLER)
JOINT = listen_attend_spell.Config(reductions=(2, 2), ctc_weight=0.3, **SPELLER)
MODELS = {"ctc": CTC, "asg": ASG, "transducer": TRANSDUCER, "whole": BOTH_WAYS, "attention": ATTENTION, "joint": JOINT}


def sound(seconds, seed=0, rate=RATE):
    """Noise whose loudness changes many times a second."""
    random, n = np.random.default_rng(seed), round(seconds * rate)
    loud = np.interp(np.arange(n), np.linspace(0, n, round(12 * seconds) + 2), random.random(round(12 * seconds) + 2))
    return AudioInput((0.3 * loud * random.standard_normal(n)).astype(np.float32), rate)


def offline(bundle, recording, beam):
    """As tasks/decoding/decode_speech.py writes it."""
    source = bundle.source(stored_frames(recording.samples, recording.rate, bundle))
    nbest = bundle.model.search(source, beam, bundle.lm)[0]
    return [" ".join(bundle.tokenizer.decode(found.tokens).split()) for found in nbest], nbest


@pytest.fixture(params=MODELS)
def bundle(request, artifact_root):
    return loaded(MODELS[request.param])


@pytest.mark.parametrize("width", [1, 4])
def test_any_recognizer_any_rate_in_any_company(bundle, width):
    beam = Beam(width=width, max_length=100)
    transcriber = Transcriber(bundle, TranscriptionConfig(beam=beam))
    recordings = [sound(0.9, 1), sound(2.3, 2, 8000), sound(0.01, 3), sound(1.7, 4, 44100)]
    found = transcriber(recordings)
    assert len({transcript.text for transcript in found}) > 1
    for recording, transcript in zip(recordings, found, strict=True):
        texts, _ = offline(bundle, recording, beam)
        assert transcript.text == texts[0]
        assert [reading.text for reading in transcript.n_best] == list(dict.fromkeys(texts))
        assert transcript.spans == (Span(0, len(recording.samples)),)
        assert transcript.seconds == len(recording.samples) / recording.rate
        times = [at for word in transcript.words for at in (word.start, word.end)]
        assert times == sorted(times)
        assert all(0 <= at <= transcript.seconds + 1e-4 for at in times)
        assert all(0 <= word.confidence <= 1 for word in transcript.words)
        (alone,) = transcriber([recording])
        assert alone.text == transcript.text
        assert [w.confidence for w in alone.words] == pytest.approx([w.confidence for w in transcript.words], abs=1e-3)
    sure = [word.confidence for transcript in found for word in transcript.words]
    assert min(sure) < 0.99, "not 1 throughout, greedy or not"


def test_the_probabilities_are_those_that_the_search_knows(bundle):
    """Their geometric mean is the confidence of the hypothesis, where the search has it of the tokens alone."""
    source = bundle.source(stored_frames(sound(2, 5).samples, RATE, bundle))
    with torch.no_grad():
        found, (probabilities,) = search_with_probabilities(bundle.model, source, Beam(width=1, max_length=60), None)
    best = found[0][0]
    assert len(probabilities) == len(best.tokens) > 2
    total, count = math.fsum(map(math.log, probabilities)), len(best.tokens)
    if isinstance(bundle.model, listen_attend_spell.ListenAttendSpell) and count < 60:  # EOS is counted there
        memory, tokens = bundle.model.encode(source), (1, *best.tokens)
        state = bundle.model.start(memory, 1)
        for token in tokens:
            step = bundle.model.step(torch.tensor([token]), state, memory)
            state = step.state
        total, count = total + float(step.log_probs[0, 2]), count + 1
    assert math.exp(total / count) == pytest.approx(best.confidence, rel=1e-4)


def test_asg_takes_repeats_for_what_they_are(artifact_root):
    """A doubled letter is a symbol of its own there."""
    bundle = loaded(ASG)
    source = bundle.source(stored_frames(sound(1, 6).samples, RATE, bundle))
    occupied = path_occupancy(bundle.model.emit(source), bundle.model.transitions)[0][0].exp()
    assert torch.allclose(occupied.sum(1), torch.ones(len(occupied), dtype=torch.float64))


def test_words_without_doubt_and_with():
    readings = [(["a", "b"], 0.0), (["a", "c"], math.log(0.5)), (["x", "a", "b"], -math.inf)]
    assert word_posteriors(readings) == pytest.approx([1.0, 1 / 1.5])
    assert word_posteriors([([], 0.0)]) == []
    assert word_posteriors([(["a"], -math.inf)]) == [1.0]
    spaces = [0.9, 0.2, 0.8, 0.7]  # a, space, b, c
    assert word_confidences([[0], [2, 3]], spaces, [1.0, 0.5]) == pytest.approx([0.2, 0.1])
    assert word_confidences([[0], [1]], [0.9, 0.2], [1.0, 1.0]) == pytest.approx([0.9, 0.2]), "no space between them"


def talk(words, random):
    """Words of tones with pauses of 0.1 to 3 s between them."""
    parts = []
    for word in words:
        pause = 0.003 * random.standard_normal(round(random.uniform(0.1, 3) * 8000)).astype(np.float32)
        parts += [spoken(word, random)[: 1000 * len(word)], pause]
    return AudioInput(np.concatenate(parts), 8000)


@pytest.mark.parametrize("overlap", [1.5, 3.0])
def test_seams_of_a_long_recording(artifact_root, overlap):
    """A recognizer that is right about every whole word is right about all of a recording that is cut anywhere."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcd"), random.integers(1, 6))) for _ in range(150)]
    recording = talk(words, random)
    config = TranscriptionConfig(windows=WindowConfig(max_seconds=8, overlap_seconds=overlap))
    (found,) = Transcriber(tone_reader(), config)([recording])
    assert [word.text for word in found.words] == words
    assert found.seconds > 200
    times = [at for word in found.words for at in (word.start, word.end)]
    assert times == sorted(times)
    assert found.n_best == ((" ".join(words), pytest.approx(found.n_best[0].score)),)
    assert found.spans == (Span(0, len(recording.samples)),)


def test_nothing_and_what_cannot_be(artifact_root):
    bundle = loaded(CTC)
    transcriber = Transcriber(bundle)
    (nothing,) = transcriber([AudioInput(np.zeros(0, np.float32), RATE)])
    assert (nothing.text, nothing.words, nothing.spans, nothing.confidence) == ("", (), (), None)
    assert nothing.to_dict()["segments"] == []
    assert transcriber([]) == []
    broken = sound(0.5)
    broken.samples[7] = np.nan
    with pytest.raises(UserError, match="NaN"):
        transcriber([broken])
    with pytest.raises(UserError, match="cepstra"):
        transcriber([AudioInput(np.zeros((9, 13), np.float32), 100)])
    with pytest.raises(UserError, match="has no coverage"):
        Transcriber(bundle, TranscriptionConfig(beam=replace(bundle.beam, coverage=1.0)))([sound(0.5)])
