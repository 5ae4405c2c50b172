"""What is doubtful is named, what people say is not, and the second reading is kept where it is the better one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tone_reader import tone_reader
from tones import spoken
from untrained import CTC, loaded

from tasks.audio.live_audio_input import AudioInput
from tasks.decoding.streaming_recognizer import stored_frames
from tasks.features.front_end import FrontEnd
from tasks.transcription.assemble_transcript import Reading
from tasks.transcription.read_again import join_readings, shorter_windows
from tasks.transcription.suspicious_readings import find_suspicions, has_loop, rank_reading
from tasks.transcription.transcribe_audio import Transcriber, TranscriptionConfig
from tasks.transcription.transcript import Alternative, Word


def words(text, confidence=0.9):
    return [Word(w, float(k), k + 0.5, confidence) for k, w in enumerate(text.split())]


@pytest.mark.parametrize(("text", "seconds", "flags"), [
    ("open the red door in the kitchen", 2.5, ()),
    ("no no no no", 2.0, ()),
    ("", 5.0, ("no_text",)),
    ("the the the the the", 2.0, ("repetition",)),
    ("so I said so I said so I said so I said", 5.0, ("repetition",)),
    ("eins zwei eins zwei eins zwei und", 5.0, ()),
    ("x" * 70, 2.0, ("fast",)),
    ("hm", 9.0, ("slow",)),
    ("hm", 1.0, ()),
    ("你好今天天气很好", 2.0, ()),
])  # fmt: skip
def test_flags(text, seconds, flags):
    assert find_suspicions(words(text), seconds, speech=True, truncated=False) == flags


def test_flags_without_voice_activity_and_of_the_search():
    assert find_suspicions([], 20.0, speech=False, truncated=False) == ()
    assert find_suspicions(words("hm"), 20.0, speech=False, truncated=False) == ()
    assert find_suspicions(words("hm", 0.2), 1.0, speech=True, truncated=True) == ("low_confidence", "truncated")
    assert rank_reading((), words("a", 0.1)) > rank_reading(("slow",), words("a b"))
    assert rank_reading((), words("a", 0.9)) > rank_reading((), words("a", 0.8)) > rank_reading((), [])


@given(st.lists(st.sampled_from("ab"), max_size=14))
def test_loops_are_what_they_are_by_definition(texts):
    def looped(begin, size, count):
        phrase = texts[begin : begin + size]
        return begin + size * count <= len(texts) and texts[begin : begin + size * count] == phrase * count

    places = [(begin, size) for begin in range(len(texts)) for size in range(1, 7)]
    assert has_loop(texts) == any(looped(begin, size, 5 if size == 1 else 4) for begin, size in places)


@given(st.integers(1, 3000), st.sampled_from([10.0, 20.0]))
def test_shorter_windows_are_shorter_and_cover_all_but_the_edges(frames, hop):
    windows = shorter_windows(frames, FrontEnd(hop_ms=hop))
    assert all(0 <= begin < end <= frames for begin, end in windows)
    if frames * hop >= 4000:
        (first, end), (begin, last) = windows
        assert (first, last) == (0, frames)
        assert begin < end
        assert max(end, frames - begin) < 0.65 * frames
    else:
        ((begin, end),) = windows
        assert begin + frames - end <= 2 * max(1, 100 / hop)


def test_two_readings_are_joined_at_the_word_that_both_have():
    def reading(text, begin):
        found = tuple(word._replace(start=word.start - begin, end=word.end - begin) for word in words(text)[begin:])
        return Reading(found, (Alternative(" ".join(w.text for w in found), -1.0),), False)

    joined = join_readings([(0.0, 6.0), (3.0, 9.0)], [reading("a b c d e", 0), reading("a b c d e f g h", 3)])
    assert [word.text for word in joined.words] == list("abcdefgh")
    assert joined.n_best == (Alternative("a b c d e f g h", -2.0),)


def test_what_is_suspicious_is_read_again(artifact_root, monkeypatch):
    """A search that loops in long windows alone: the halves are right, and theirs is the reading that is kept."""
    random = np.random.default_rng(0)
    said = ["ab", "cad", "dab", "bcd", "ac", "bad", "c", "dad", "abc", "cb"]
    wave = np.concatenate([spoken(word, random)[: 1000 * len(word) + 2000] for word in said])
    bundle = tone_reader()
    transcriber = Transcriber(bundle, TranscriptionConfig())
    stored = stored_frames(wave, 8000, bundle)
    search, lengths = transcriber._search, []

    def looping(windows, once=()):
        lengths.extend(map(len, windows))
        found = search(windows, once)
        loop = Reading(tuple(words("da da da da da da")), (Alternative("da", 0.0),), False)
        return [loop if len(frames) == len(stored) else one for frames, one in zip(windows, found, strict=True)]

    monkeypatch.setattr(transcriber, "_search", looping)
    (found,) = transcriber.decode([stored])
    assert ([word.text for word in found.words], found.flags) == (said, ())
    assert len(lengths) == 3
    (once,) = transcriber.decode([stored], once={0})
    assert once.flags == ("repetition",)
    assert transcriber.decode([stored]) == transcriber.decode([stored]), "the same every time"


def test_of_an_untrained_model_all_is_doubtful_and_a_short_recording_stays_what_it_is(artifact_root):
    transcriber = Transcriber(loaded(CTC))
    noise = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    (found,) = transcriber([AudioInput(noise, 16000)])
    (reading,) = transcriber._search([stored_frames(noise, 16000, transcriber.bundle)], {0})
    assert found.words == reading.words
    assert found.coverage[0].flags == found.segments[0].flags
    assert "low_confidence" in found.segments[0].flags
