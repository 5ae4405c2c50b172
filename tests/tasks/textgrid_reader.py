"""Praat's TextGrid, read back and checked."""

import itertools
import re


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
