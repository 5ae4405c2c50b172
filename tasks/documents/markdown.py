"""Markdown without HTML (CommonMark, tables, footnotes): the words are translated, what makes the document is kept.

Kept as they are: code, indented, fenced or within a paragraph; front matter; the marks of headings, lists, quotes,
tables and tasks; where links lead, and what names that; character references; rules and underlines. Emphasis stays in
the text. A link or code within a sentence cuts it: the words before, in and after it are translated each by themselves,
so that none of the marks depends on what a model writes. A line with HTML is told as a problem, and stays.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tasks.documents.document import Passage, Range, Rest, Translated, count_lines, join_bytes
from tasks.documents.markdown_blocks import FOOTNOTE, LABEL, LIST_MARK, TAG, TITLE, Blocks
from tasks.documents.plain_text import write_in_place
from tasks.documents.text_lines import check_encoding, decode_line, read_line, read_lines

MARKS = re.compile(
    rf"(?:\s*(?:>|{LIST_MARK}(?=\s)))*\s*(?:\[[ xX]\]\s+)?(?P<heading>#{{1,6}}(?:\s+|$))?(?:{FOOTNOTE}\s+)?"
)
HEADING_END = re.compile(r"(?<!\s)\s+#+\s*$")
NESTED = r"\[(?:[^\[\]\\]|\\.)*\](?:\([^()]*\))?"  # brackets within the text of a link
LINK_TEXT = rf"(?:[^\[\]\\]|\\.|{NESTED})*"
PLACE = r"<[^<>\n]*>|[^\s()<>]*(?:\([^\s()]*\)[^\s()<>]*)*"
INLINE = re.compile(
    r"(?P<words>\\[!-/:-@\[-`{-~])"
    r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|<(?:[A-Za-z][A-Za-z0-9+.-]*:|[\w.+-]+@)[^\s<>]*>|https?://[^\s)>\]]+|\[\^[^\]]+\]|\\$|\||&(?:#\w+|\w+);"
    rf"|(?P<html>{TAG}|<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<![A-Z].*?(?:>|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z))"
    r"|!?\[[^\[\]]*\]\[\]|!?\[(?P<label>(?:[^\[\]\\]|\\.)+)\](?![\[(])"
    rf"|!?\[(?={LINK_TEXT}\][(\[])|\](?:\(\s*(?:{PLACE})(?:\s+(?:{TITLE}))?\s*\)|\[[^\[\]]+\])",
    re.DOTALL | re.MULTILINE,
)
HTML = "HTML in Markdown"
BAR = re.compile(r"(?<!\\)\|")
Span = tuple[int, int]
FRONT = {"---": ("---", "..."), "+++": ("+++",)}  # what begins front matter, and what ends it


class _Line(NamedTuple):
    """line: its bytes. text: what may be prose. before, after: the bytes around it."""

    number: int
    line: bytes
    text: str
    before: bytes
    after: bytes
    problem: str


@dataclass(frozen=True)
class Markdown:
    """.md, in UTF-8."""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        """Before a line without indent after a blank one, where nothing is open."""
        blocks, begin, at, first, number = Blocks(_front_matter(file)), 0, 0, 1, 1
        while line := read_line(file):
            if at - begin >= most and blocks.may_cut and line.strip() and not line[:1].isspace():
                yield Range(begin, at, first)
                begin, first, blocks = at, number, Blocks()
            blocks.read(decode_line(line, number)[1])
            at, number = at + len(line), number + 1
        yield Range(begin, at, first)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        blocks, labels = Blocks(_front_matter(file) if where.begin == 0 else 0), _labels(file)
        kept, count, paragraph = bytearray(), 0, list[_Line]()
        for number, line in read_lines(file, where):
            count += 1
            mark, text, end, problem = decode_line(line, number)
            kind = blocks.read(text)
            if kind != "follow" and paragraph:
                yield from _passages(kept, paragraph, labels)
                paragraph = []
            if kind == "html":
                yield Passage(_taken(kept), text, number, problem or HTML)
            if kind in {"kept", "html"}:
                kept += line
            else:
                paragraph.append(_prose(number, line, (mark, text, end, problem)))
        yield from _passages(kept, paragraph, labels)
        yield Rest(bytes(kept), count)

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        """A bar that a translation has would end a cell of a table; no passage has one of its own."""
        escaped = [found._replace(text=BAR.sub(r"\\|", found.text)) for found in texts]
        return write_in_place(passages, escaped, rest)

    def count(self, written: bytes) -> int:
        return count_lines(written)

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        join_bytes(ranges, place)


def _front_matter(file: BinaryIO) -> int:
    """How many lines it has: none where a blank line comes first, or where nothing ends it; leaves the file at its
    begin.
    """
    check_encoding(file)
    ends, count = FRONT.get(decode_line(read_line(file), 1)[1].rstrip(), ()), 1
    while ends and (line := read_line(file)) and (count > 1 or line.strip()):
        count += 1
        if line.rstrip().decode(errors="replace") in ends:
            break
    else:
        count = 0
    file.seek(0)
    return count


def _labels(file: BinaryIO) -> set[str]:
    """What the links of a document may be called that say elsewhere where they lead."""
    file.seek(0)
    found = set[str]()
    while line := read_line(file):
        if b"]:" in line and (label := LABEL.match(decode_line(line.lstrip(b" >"), 0)[1])):
            found.add(_plain(label["label"]))
    return found


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())


def _prose(number: int, line: bytes, decoded: tuple[bytes, str, bytes, str]) -> _Line:
    """decoded: as `decode_line` has it."""
    mark, text, end, problem = decoded
    marks = MARKS.match(text)
    begin, close = marks.end() if marks else 0, len(text)
    if marks and marks["heading"] and (closing := HEADING_END.search(text, begin)):
        close = closing.start()
    return _Line(number, line, text[begin:close], mark + text[:begin].encode(), text[close:].encode() + end, problem)


def _passages(kept: bytearray, paragraph: list[_Line], labels: set[str]) -> Iterator[Passage]:
    """Those of a paragraph, of which code and links may go from line to line. kept: the bytes before it, and when it
    has been read, those after its last passage.
    """
    same, html = _spans("\n".join(line.text for line in paragraph), labels)
    begin = 0
    for line in paragraph:
        end = begin + len(line.text)
        mine, tagged = (_within(spans, begin, end) for spans in (same, html))
        if line.problem or tagged:
            text = line.line.decode(errors="backslashreplace").rstrip("\r\n")
            yield Passage(_taken(kept), text, line.number, line.problem or HTML)
            kept += line.line
        else:
            kept += line.before
            at = 0
            for low, high in [*mine, (len(line.text), len(line.text))]:
                words = line.text[at:low]
                if any(c.isalnum() for c in words):
                    yield Passage(_taken(kept), words, line.number)
                    words = ""
                kept += (words + line.text[low:high]).encode()
                at = high
            kept += line.after
        begin = end + 1


def _taken(kept: bytearray) -> bytes:
    """What was kept so far, which is no more."""
    found = bytes(kept)
    kept.clear()
    return found


def _within(spans: list[Span], begin: int, end: int) -> list[Span]:
    """What of these, which follow one another, is in a line, from the line's begin on."""
    first = bisect_right(spans, begin, key=lambda span: span[1])
    last = bisect_left(spans, end, key=lambda span: span[0])
    return [(max(low, begin) - begin, min(high, end) - begin) for low, high in spans[first:last]]


def _spans(text: str, labels: set[str]) -> tuple[list[Span], list[Span]]:
    """Where in a paragraph something is kept, and where HTML is."""
    kept, html, at = list[Span](), list[Span](), 0
    while found := INLINE.search(text, at):
        at = found.end()
        if found["html"]:
            html.append(found.span())
        elif found["label"] and _plain(found["label"]) not in labels:
            at = found.start("label")
        elif not found["words"]:
            kept.append(found.span())
    return kept, html
