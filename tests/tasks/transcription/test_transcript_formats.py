"""Every word once in every format, times that rise, and cues as broadcasters want them."""

import html
import itertools
import json
import re
import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textgrid_reader import read_textgrid

from tasks.transcription.subtitles import LINE, make_cues, timed_words
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word
from tasks.transcription.transcript_formats import FORMATS, format_transcript

LETTERS = string.ascii_letters + "&<>\"'é漢-" + string.digits
TEXT = st.text(LETTERS, min_size=1, max_size=12) | st.text("ab<&", min_size=30, max_size=150)


@st.composite
def transcripts(draw, timed=True):
    """Words of any length and speed, now and then none, with or without times."""
    segments, at = [], 0.0
    for texts in draw(st.lists(st.lists(TEXT, max_size=25), max_size=4)):
        at += draw(st.floats(0, 5))
        begin, words = at, []
        for text in texts:
            start = round(at + draw(st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.8, 2.5])), 4)
            at = round(start + draw(st.sampled_from([0.0, 0.03, 0.2, 0.5, 1.5, 9.0])), 4)
            words.append(Word(text, *((start, at) if timed else (None, None)), draw(st.floats(0, 1))))
        at += 0.1
        readings = (Alternative(" ".join(texts), -1.0),)
        segments.append(Segment(start=begin, end=at, words=tuple(words), n_best=readings))
    return Transcript(segments=tuple(segments), coverage=(), seconds=at, rate=100)


ANY = transcripts() | transcripts(timed=False)


def milliseconds(clock):
    hours, minutes, seconds, rest = map(int, re.fullmatch(r"(\d\d+):(\d\d):(\d\d)[.,](\d{3})", clock).groups())
    assert minutes < 60
    assert seconds < 60
    return 1000 * (60 * (60 * hours + minutes) + seconds) + rest


def read_cues(blocks):
    """Blocks `begin --> end`, lines, as begin, end and lines."""
    found = []
    for block in blocks:
        times, *lines = block.rstrip("\n").split("\n")
        begin, end = map(milliseconds, times.split(" --> "))
        found.append((begin, end, lines))
    return found


def check_cues(cues, transcript):
    assert [begin for begin, _, _ in cues] == sorted(begin for begin, _, _ in cues)
    for begin, end, lines in cues:
        assert 1000 <= end - begin <= 7000
        assert 1 <= len(lines) <= 2
        assert all(0 < len(line) <= LINE for line in lines)
    for (_, end, _), (begin, _, _) in zip(cues, cues[1:], strict=False):
        assert end <= begin
    written = "".join("".join(lines) for _, _, lines in cues).replace(" ", "")
    assert written == "".join(word.text for word in transcript.words)


@given(ANY)
def test_srt(transcript):
    blocks = format_transcript(transcript, "a", "srt").split("\n\n") if transcript.words else []
    numbers, rest = zip(*(block.split("\n", 1) for block in blocks), strict=True) if blocks else ((), ())
    assert list(numbers) == [str(n) for n in range(1, len(blocks) + 1)]
    check_cues(read_cues(rest), transcript)


@given(ANY)
def test_vtt(transcript):
    head, *blocks = format_transcript(transcript, "a", "vtt").split("\n\n")
    assert head.rstrip("\n") == "WEBVTT"
    for block in blocks:
        for line in block.rstrip("\n").split("\n")[1:]:
            assert not re.search(r"<|>|&(?!(amp|lt|gt);)", line)
    plain = [re.sub(r"\n(.*)", lambda line: "\n" + html.unescape(line[1]), block.rstrip("\n")) for block in blocks]
    check_cues(read_cues(plain), transcript)


@given(transcripts(), transcripts())
def test_two_channels(one, other):
    """No cue holds words of both, none overlaps; CTM numbers them, and a TextGrid has tiers of each."""
    moved = tuple(replace(segment, channel=1) for segment in other.segments)
    both = replace(one, segments=one.segments + moved, seconds=max(one.seconds, other.seconds, 0.1))
    cues = make_cues(both)
    assert all(1000 <= cue.end - cue.begin <= 7000 for cue in cues)
    assert all(first.end <= second.begin for first, second in itertools.pairwise(cues))
    alone = [cue.lines for heard in (one, other) for cue in make_cues(heard)]
    assert sorted(cue.lines for cue in cues) == sorted(alone)
    rows = [line.split(" ") for line in format_transcript(both, "a", "ctm").splitlines()]
    assert [row[4] for row in rows if row[1] == "2"] == [word.text for word in other.words]
    tiers, _ = read_textgrid(format_transcript(both, "a", "textgrid"))
    assert set(tiers) == ({"words 1", "segments 1", "words 2", "segments 2"} if one.segments and moved else
                          {"words", "segments"})  # fmt: skip


def test_cues_are_where_words_are_said():
    def words(texts, begin, each):
        return tuple(Word(t, begin + k * each, begin + k * each + each * 0.9, 1.0) for k, t in enumerate(texts.split()))

    said = words("one two three four five six seven eight nine ten eleven twelve", 0.0, 0.3) + words("yes", 9.0, 0.3)
    segment = Segment(start=0.0, end=10.0, words=said, n_best=(Alternative("", 0.0),))
    transcript = Transcript(segments=(segment,), coverage=(), seconds=10.0, rate=100)
    first, second = make_cues(transcript)
    assert (first.begin, first.end) == (0, 3570)
    assert first.lines == ("one two three four five six seven", "eight nine ten eleven twelve")
    assert second == (9000, 10000, ("yes",))


@given(ANY)
def test_ctm_trn_txt_json(transcript):
    words = transcript.words
    rows = [line.split(" ") for line in format_transcript(transcript, "a b", "ctm").splitlines()]
    assert [(r[0], r[1], r[4]) for r in rows] == [("a_b", "1", word.text) for word in words]
    assert all(float(r[3]) >= 0 and 0 <= float(r[5]) <= 1 for r in rows)
    assert [float(r[2]) for r in rows] == sorted(float(r[2]) for r in rows)
    line = format_transcript(transcript, "a (b)", "trn")
    assert line.count("\n") == 1
    text, key = re.fullmatch(r"(.*?) ?\((\S+)\)\n", line).groups()
    assert text.split() == [word.text for word in words]
    assert key == "a_b_"
    assert format_transcript(transcript, "a", "txt").split() == [word.text for word in words]
    told = json.loads(format_transcript(transcript, "a", "json"))
    assert [tuple(word.values()) for word in told["words"]] == [tuple(word) for word in words]
    assert (told["recording"], told["text"], told["seconds"]) == ("a", transcript.text, transcript.seconds)
    assert [segment["text"] for segment in told["segments"]] == [s.text for s in transcript.segments]


@given(transcripts())
def test_textgrid(transcript):
    if transcript.seconds > 0.01:
        tiers, end = read_textgrid(format_transcript(transcript, "a", "textgrid"))
        assert end == pytest.approx(transcript.seconds, abs=1e-3)
        long = [word.text for word in timed_words(transcript) if round(word.end, 4) > round(word.start, 4)]
        assert [text for _, _, text in tiers["words"] if text] == long, "Praat has no interval without length"


def test_the_formats_of_the_command_line():
    from flows.command_line.parsers import TRANSCRIPT_FORMATS as offered

    assert set(offered) == set(FORMATS)
