"""Times in files, read back."""

from textgrid_reader import read_textgrid

from tasks.decoding.alignment.alignment_formats import SPACE, ctm, format_alignment, textgrid
from tasks.decoding.alignment.forced_alignment import AlignedTranscript
from tasks.decoding.alignment.word_timestamps import TimedToken

SAID = AlignedTranscript(
    [TimedToken('it"s', 0.25, 0.5, 0.75), TimedToken("été", 0.5, 1.0)],
    [
        TimedToken("i", 0.25, 0.3),
        TimedToken('t"s', 0.3, 0.5),
        TimedToken(" ", 0.5, 0.5),
        TimedToken(" ", 0.55, 0.6),
        TimedToken("été", 0.6, 1.0),
    ],
    1.0,
)


def test_textgrid_is_read_back():
    tiers, end = read_textgrid(textgrid(SAID))
    assert end == 1.0
    assert tiers["words"] == [(0.0, 0.25, ""), (0.25, 0.5, 'it"s'), (0.5, 1.0, "été")]
    assert [text for _, _, text in tiers["tokens"]] == ["", "i", 't"s', "", SPACE, "été"]
    silent, _ = read_textgrid(textgrid(AlignedTranscript([], [], 2.0)))
    assert silent == {"words": [(0.0, 2.0, "")], "tokens": [(0.0, 2.0, "")]}


def test_ctm_is_read_back():
    rows = [line.split(" ") for line in ctm(SAID, "my talk").splitlines()]
    assert rows == [
        ["my_talk", "1", "0.250", "0.250", 'it"s', "0.750"],
        ["my_talk", "1", "0.500", "0.500", "été", "1.000"],
    ]
    assert format_alignment(SAID, "x", "ctm") == ctm(SAID, "x")
