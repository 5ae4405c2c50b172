"""Markdown without HTML (CommonMark, tables, footnotes): the words are translated, what makes the document is kept.

Kept as they are: code, indented, fenced or within a line; front matter; the marks of headings, lists, quotes, tables
and tasks; where links lead; rules and underlines. Emphasis stays in the text. A line with HTML is told as a problem,
and stays.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.documents.document import Passage, Range, Rest, Translated, count_lines, join_bytes
from tasks.documents.plain_text import write_in_place
from tasks.documents.text_lines import check_encoding, decode_line, read_line, read_lines

MARKS = re.compile(
    r"\s*(?:>\s?)*\s*(?:(?:[-*+]|\d{1,9}[.)])\s+(?:\[[ xX]\]\s+)?)*(?P<heading>#{1,6}(?:\s+|$))?(?:\[\^[^\]]+\]:\s+)?"
)
HEADING_END = re.compile(r"\s+#+\s*$")
LIST_ITEM = re.compile(r"\s*(?:>\s?)*\s*(?:[-*+]|\d{1,9}[.)])\s")
FENCE = re.compile(r"[\s>]*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
CODE = re.compile(r" {4}| {0,3}\t")
NO_WORDS = re.compile(  # a rule or underline, the second line of a table, where a link leads
    r"[\s>]*(?:([-*_=])(?:\s*\1)*\s*|\|?[\s:|-]*-[\s:|-]*|\[(?!\^)[^\]]+\]:\s.*)$"
)
HTML = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^>]*|/)?>|<[!?]|<[A-Za-z][\w-]*\s[^>]*$")
INLINE = re.compile(
    r"(?P<code>(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<place><(?:[A-Za-z][A-Za-z0-9+.-]*:|[\w.+-]+@)[^\s<>]*>|https?://[^\s)>\]]+|\[\^[^\]]+\]|\\$|(?<!\\)\|)"
    r"|(?P<open>!?\[)(?P<text>[^\[\]]*)(?P<shut>\]\((?:[^()]|\([^()]*\))*\)|\]\[[^\]]*\])"
)
FRONT = ("---", "+++")


class _Lines:
    """What a line is by those before it. A state is one of nothing where a line without indent follows a blank one."""

    def __init__(self) -> None:
        self.first, self.blank, self.listed, self.code = True, True, False, False
        self.until = ""  # what ends a block that is kept: a fence, front matter, or HTML
        self.html = ""

    def kept(self, line: str) -> bool:
        """Whether nothing of the line is translated."""
        blank, stripped, first = not line.strip(), line.strip(), self.first
        self.first = False
        if self.until:
            if stripped.lstrip("> ").rstrip() == self.until or self._closes(stripped.lstrip("> ")):
                self.until = ""
            return True
        if self.html:
            if (self.html == "-->" and "-->" in line) or (self.html == "blank" and blank):
                self.html = ""
            self.blank = blank
            return blank
        if first and stripped in FRONT:
            self.until = stripped
            return True
        if fence := FENCE.match(line):
            self.until, self.blank, self.code = fence["fence"], False, False
            return True
        self._follow(line, blank=blank)
        return blank or self.code or bool(NO_WORDS.match(line))

    def _closes(self, line: str) -> bool:
        """Whether it ends a fence: as many marks or more, and nothing else."""
        return self.until[0] in "`~" and line.startswith(self.until) and not line.strip(self.until[0])

    def _follow(self, line: str, *, blank: bool) -> None:
        indented = bool(CODE.match(line))
        if not blank:
            self.code = indented and not self.listed and (self.blank or self.code)
            if LIST_ITEM.match(line) and not self.code:
                self.listed = True
            elif self.blank and not line[:1].isspace():
                self.listed = False
        self.blank = blank

    def has_html(self, line: str) -> bool:
        """Of a line that is not kept, or of a block of HTML. Code in ticks is none."""
        if self.html:
            return True
        found = HTML.search(re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", line))
        if found and found.start() == len(line) - len(line.lstrip()):
            comment = line.lstrip().startswith("<!--")
            self.html = ("" if "-->" in line else "-->") if comment else "blank"
        elif found and "<!--" in line and "-->" not in line:
            self.html = "-->"
        return bool(found)

    @property
    def may_cut(self) -> bool:
        return self.blank and not self.until and not self.html and not self.first


@dataclass(frozen=True)
class Markdown:
    """.md, in UTF-8."""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        """Before a line without indent after a blank one, where nothing is open."""
        check_encoding(file)
        state, begin, at, first, number = _Lines(), 0, 0, 1, 1
        while line := read_line(file):
            if at - begin >= most and state.may_cut and line.strip() and not line[:1].isspace():
                yield Range(begin, at, first)
                begin, first, state = at, number, _Lines()
                state.first = False
            text = decode_line(line, number)[1]
            _ = state.kept(text) or state.has_html(text)
            at, number = at + len(line), number + 1
        yield Range(begin, at, first)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        state, kept, count = _Lines(), b"", 0
        state.first = where.begin == 0
        for number, line in read_lines(file, where):
            count += 1
            mark, text, end, problem = decode_line(line, number)
            if state.kept(text):
                kept += line
                continue
            html = state.has_html(text)
            if problem or html:
                yield Passage(kept, text, number, problem or "HTML in Markdown")
                kept = line
                continue
            kept += mark
            for words, piece in _pieces(text):
                if words:
                    yield Passage(kept, piece, number)
                    kept = b""
                else:
                    kept += piece.encode()
            kept += end
        yield Rest(kept, count)

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        return write_in_place(passages, texts, rest)

    def count(self, written: bytes) -> int:
        return count_lines(written)

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        join_bytes(ranges, place)


def _pieces(line: str) -> Iterator[tuple[bool, str]]:
    """The line in pieces, each with whether it is words."""
    marks = MARKS.match(line)
    begin, end = marks.end() if marks else 0, len(line)
    if marks and marks["heading"] and (closing := HEADING_END.search(line, begin)):
        end = closing.start()
    yield False, line[:begin]
    at = begin
    for found in INLINE.finditer(line, begin, end):
        yield _words(line[at : found.start()])
        if found["open"]:
            yield from ((False, found["open"]), _words(found["text"]), (False, found["shut"]))
        else:
            yield False, found[0]
        at = found.end()
    yield _words(line[at:end])
    yield False, line[end:]


def _words(text: str) -> tuple[bool, str]:
    return any(c.isalnum() for c in text), text
