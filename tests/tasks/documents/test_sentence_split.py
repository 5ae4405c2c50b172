"""Sentences by rule; long ones in pieces, and nothing of either lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.documents.sentence_split import CLOSING, END, Span, cut_long, join_sentences, split_sentences


@pytest.mark.parametrize(
    "text",
    [
        "It is so. | It was so! | Was it? | Yes.",
        "Dr. No came with Mr. J. R. Smith, e.g. on Monday. | Then he left.",
        "Am 3. Oktober, z. B. um 10.30 Uhr. | Danach nicht.",
        '"Is it so?" | "It is." | (Perhaps.) | «Oui.» | ¿Sí? | No.',
        "Version 2.0 costs 3.50. | What then... and now? | It ended in 1999. | Then came 2000.",
        "今日は。|元気ですか？|はい！|「そう。」|では。",
        "هل هذا صحيح؟ | نعم.",
        "यह है। | वह था।",
        "no end",
        "Wait... | What?! | Really.",
    ],
)
def test_rules(text):
    wanted = [piece.strip() for piece in text.split("|")]
    whole = text.replace("|", "" if "。" in text else "").replace("  ", " ")
    assert [whole[s.begin : s.end] for s in split_sentences(whole)] == wanted


@given(st.text(alphabet=' .!?aA1\n\r\t。\u2028")', max_size=60), st.sampled_from(["lines", "sentences"]))
def test_nothing_is_lost(text, how):
    spans = split_sentences(text, how)
    pieces = [text[s.begin : s.end] for s in spans]
    assert join_sentences(text, spans, pieces) == text
    assert join_sentences(text, spans, ["" for _ in spans]).strip() == ""
    assert all(piece == piece.strip() != "" and "\n" not in piece for piece in pieces)
    if how == "lines":
        assert len(spans) == sum(bool(line.strip()) for line in text.split("\n"))


@given(st.text(alphabet="ab ,;、\t", min_size=1, max_size=300), st.integers(1, 20))
def test_long_sentences(text, most):
    """Each piece is short enough, or has no place to cut; between them there are only blanks."""
    text = f"a{text}b"
    pieces = list(cut_long(text, Span(0, len(text)), len, most))
    assert join_sentences(text, pieces, ["" for _ in pieces]).strip() == ""
    for piece in pieces:
        told = text[piece.begin : piece.end]
        assert told == told.strip() != ""
        assert bool(piece.problem) == (len(told) > most)
        assert not piece.problem or " " not in told


def test_five_thousand_tokens_are_cut_where_a_reader_would():
    text = ", ".join(f"word {i} and more of it" for i in range(1000))
    pieces = list(cut_long(text, Span(0, len(text)), lambda words: len(words.split()), 100))
    assert all(not p.problem and text[p.begin : p.end].rstrip(",").endswith("of it") for p in pieces)
    assert 50 <= len(pieces) <= 100
    (stuck,) = cut_long("x" * 5000, Span(0, 5000), len, 1024)
    assert stuck == Span(0, 5000, "too long to translate (5,000 tokens without a place to cut, 1,024 at most)")


AS_WRITTEN = re.compile(rf"(?:[.!?…؟۔।]+[{CLOSING}]*(?=\s)|[。！？｡]+[{CLOSING}]*)")  # read again from each mark


@given(st.text(st.sampled_from(".!?…。！ \"')»]aB\t"), max_size=40))
def test_marks_are_found_as_they_are_written(text):
    found, expected = END.finditer(text), AS_WRITTEN.finditer(text)
    assert [m.span() for m in found] == [m.span() for m in expected]


@pytest.mark.parametrize("marks", ["." * 300_000, ".'" * 150_000, "。" * 300_000, ". " * 150_000])
def test_a_line_of_marks_is_read_once(marks):
    """What took minutes: the time of a square would be longer than a test may last."""
    spans = split_sentences(f"{marks}x")
    assert "".join(f"{marks}x"[s.begin : s.end] for s in spans).replace(" ", "") == f"{marks}x".replace(" ", "")
