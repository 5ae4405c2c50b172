"""Times in files, read back."""

import itertools
import re

from tasks.decoding.alignment_formats import SPACE, ctm, format_alignment, textgrid
from tasks.decoding.forced_alignment import AlignedTranscript
from tasks.decoding.word_timestamps import TimedToken


def read_textgrid(text):
    """Tier names to their intervals; the file's end."""
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    head, *items = re.split(r"item \[\d+\]:", text)
    tiers = {}
    for item in items:
        name, end = re.search(r'name = "(.*)"', item)[1], float(re.search(r"xmax = (\S+)", item)[1])
        rows = re.findall(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"', item)
        assert int(re.search(r"intervals: size = (\d+)", item)[1]) == len(rows)
        tiers[name] = [(float(a), float(b), words.replace('""', '"')) for a, b, words in rows]
        assert (tiers[name][0][0], tiers[name][-1][1]) == (0, end)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(tiers[name])), "no gaps"
        assert all(begin < stop for begin, stop, _ in tiers[name])
    assert int(re.search(r"size = (\d+)", head)[1]) == len(tiers)
    return tiers, float(re.search(r"xmax = (\S+)", head)[1])


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
