"""Where sentences are: spans of a text, and between them nothing but blanks, so that a text can be put together again.

By rule, for what is written with . ! ? and their like in other scripts. A sentence ends at such a mark, with the quotes
and brackets that close behind it, before a blank and what may begin a sentence; not behind an abbreviation, an initial
or an ordinal. Two sentences taken for one are translated no worse; one cut in two is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tasks.documents.document import Split

CLOSING = "\"'”’»›)\\]}」』）】"
OPENING = "\"'“‘„‚«‹(\\[{「『（【¿¡"
NARROW, WIDE = ".!?…؟۔।", "。！？｡"
# Possessive, and only from the first of several marks: a line of them is read once, not once for each.
END = re.compile(rf"(?:(?<![{NARROW}])[{NARROW}]++[{CLOSING}]*+(?=\s)|[{WIDE}]++[{CLOSING}]*+)")
BEGIN = re.compile(rf"\s+[{OPENING}]*(\w?)")
LAST_WORD = re.compile(r"[^\s(\[{\"'“„«]*$")
ABBREVIATIONS = frozenset(
    re.split(
        r"\s+",
        """mr mrs ms dr prof st sr jr vs gen col lt capt sgt rev hon gov nos vol fig figs pp eds approx ltd e.g i.e cf
        al z.b d.h u.a bzw ca nr abb bd hr fr evtl ggf inkl vgl sog mme mlle p.ex c.-à-d sig sra srta ud uds dña""",
    )
)
INITIAL = re.compile(r"(?:\w\.)*\w")
BREAK = re.compile(r"[;:,、，；：—–)\]](?=\s)\s|[、，；：]")
BLANK = re.compile(r"\s+")


class Span(NamedTuple):
    """Of a text. problem: why it cannot be translated."""

    begin: int
    end: int
    problem: str = ""


def split_sentences(text: str, how: Split = "sentences") -> list[Span]:
    """The sentences of a text, none with blanks at its ends; a line feed always ends one."""
    found, begin = list[Span](), 0
    for line in text.split("\n"):
        ends = [*_ends(line), len(line)] if how == "sentences" else [len(line)]
        at = 0
        for end in ends:
            piece = line[at:end]
            if piece.strip():
                first = begin + at + len(piece) - len(piece.lstrip())
                found.append(Span(first, first + len(piece.strip())))
            at = end
        begin += len(line) + 1
    return found


def _ends(line: str) -> Iterator[int]:
    for mark in END.finditer(line):
        follows = BEGIN.match(line, mark.end())
        wide = mark[0][0] in WIDE
        if wide or (follows and not follows[1].islower() and not _is_abbreviation(line, mark)):
            yield mark.end()


def _is_abbreviation(line: str, mark: re.Match[str]) -> bool:
    """Whether what is before a single period is known as one, an initial, or a number of two digits at most."""
    if mark[0] != ".":
        return False
    before = LAST_WORD.search(line[max(0, mark.start() - 30) : mark.start()])
    word = before[0] if before else ""
    number = word.isdecimal() and len(word) < 3
    return number or word.lower() in ABBREVIATIONS or bool(INITIAL.fullmatch(word))


def join_sentences(text: str, spans: Sequence[Span], texts: Sequence[str]) -> str:
    """The text with others in the place of its spans."""
    made, at = list[str](), 0
    for span, other in zip(spans, texts, strict=True):
        made += [text[at : span.begin], other]
        at = span.end
    return "".join((*made, text[at:]))


def cut_long(text: str, span: Span, count: Callable[[str], int], most: int) -> Iterator[Span]:
    """A span in pieces of at most `most` tokens as `count` has them, cut near its middle behind a comma or its like,
    or else between words. What has no such place is a span with a problem.
    """
    waiting = [span]
    while waiting:
        span = waiting.pop()
        tokens = count(text[span.begin : span.end])
        cut = _cut(text[span.begin : span.end]) if tokens > most else None
        if tokens <= most:
            yield span
        elif cut is None:
            told = f"too long to translate ({tokens:,} tokens without a place to cut, {most:,} at most)"
            yield Span(span.begin, span.end, told)
        else:
            waiting += [Span(span.begin + cut[1], span.end), Span(span.begin, span.begin + cut[0])]


def _cut(text: str) -> tuple[int, int] | None:
    """Where the first piece ends and the second begins."""
    margin = max(1, len(text) // 4)
    low, high = margin, len(text) - margin
    for pattern, begin, end in ((BREAK, low, high), (BLANK, 0, len(text))):
        places = pattern.finditer(text, begin, end)
        middle = min(places, key=lambda place: abs(place.start() + place.end() - len(text)), default=None)
        if middle:
            first, second = text[: middle.end()], text[middle.end() :]
            return len(first.rstrip()), len(first) + len(second) - len(second.lstrip())
    return None
