"""Words while they are heard: in a terminal, in a pipe, as JSON lines."""

import io
import json

from tasks.decoding.alignment.word_timestamps import TimedToken
from tasks.decoding.live_transcript import ERASE, JsonLinesWriter, TerminalWriter, TextWriter
from tasks.decoding.streaming_recognizer import PartialTranscript


def word(text, begin=0.0):
    return TimedToken(text, begin, begin + 0.5)


STAGES = [
    PartialTranscript([word("the")], 0),
    PartialTranscript([word("the"), word("cat", 1.0)], 1),
    PartialTranscript([word("the"), word("cap", 1.0)], 1),
    PartialTranscript([word("the"), word("cat", 1.0), word("sat", 2.0)], 3),
]


def shown_by(captions, stages=STAGES):
    for stage in stages:
        captions.show(stage)
    captions.close()
    return captions.out.getvalue()


def test_a_pipe_gets_final_words_once():
    assert shown_by(TextWriter(io.StringIO())) == "the cat sat\n"


def test_json_lines():
    rows = [json.loads(line) for line in shown_by(JsonLinesWriter(io.StringIO())).splitlines()]
    assert [(row["text"], row["final"]) for row in rows] == [
        ("the", False), ("the", True), ("cat", False), ("cap", False), ("cat", True), ("sat", True)
    ]  # fmt: skip
    assert rows[-1] == {"text": "sat", "final": True, "begin": 2.0, "end": 2.5}


def test_a_terminal_s_line_is_written_anew():
    assert shown_by(TerminalWriter(io.StringIO(), 80)).split(ERASE)[1:] == [
        "the",
        "the cat",
        "the cap",
        "the cat sat\n",
    ]


def test_a_terminal_s_full_line_is_ended():
    words = [word(f"word{k}") for k in range(12)]
    stages = [PartialTranscript(words[:k], max(0, k - 1)) for k in range(13)] + [PartialTranscript(words, 12)]
    written = shown_by(TerminalWriter(io.StringIO(), 20), stages)
    lines = [line.split(ERASE)[-1] for line in written.split("\n")]
    assert " ".join(lines).split() == [w.text for w in words]
    assert max(map(len, lines)) < 20
    longest = shown_by(
        TerminalWriter(io.StringIO(), 20),
        [PartialTranscript([word("x" * 50)], 0), PartialTranscript([word("x" * 50)], 1)],
    )
    assert longest.split(ERASE)[1] == "…" + "x" * 18
