"""Which lines of a Markdown file are prose: its blocks, as CommonMark 0.31 (https://spec.commonmark.org) opens and
closes them, with tables and footnotes.

Block quotes, list items and footnotes hold other blocks: what is code, and where a fence ends, is told from where their
content begins.
"""

import re
from typing import Literal

Kind = Literal["kept", "begin", "follow", "html"]

LIST_MARK = r"(?:[-*+]|\d{1,9}[.)])"
FOOTNOTE = r"\[\^[^\]]+\]:"
QUOTE = re.compile(r" {0,3}> ?")
ITEM = re.compile(rf" {{0,3}}(?P<mark>{LIST_MARK})(?P<gap> +|$)")
NOTE = re.compile(rf" {{0,3}}{FOOTNOTE}(?: +|$)")
NOTE_MARGIN = 4  # columns
DEEPEST = 20  # blocks in one another: what comes deeper is text
RULE = re.compile(r" {0,3}([-*_])(?: *\1){2,} *$")
UNDERLINE = re.compile(r" {0,3}(?:=+|-+) *$")
DELIMITER = re.compile(r"\s*:?-+:?\s*")  # a cell of a table's second line
CELL_END = re.compile(r"(?<!\\)\|")
HEADING = re.compile(r" {0,3}#{1,6}(?: |$)")
FENCE = re.compile(r" {0,3}(?P<fence>`{3,}(?=[^`]*$)|~{3,})")
TITLE = r"\"[^\"]*\"|'[^']*'|\([^()]*\)"
PLACE = rf"(?P<place>(?:<[^<>]*>|[^\s<]\S*)(?:\s+(?:{TITLE}))?)"
LABEL = re.compile(rf" {{0,3}}\[(?P<label>(?!\^)(?:[^\[\]\\]|\\.)+)\]:\s*{PLACE}?\s*$")
AFTER_LABEL = {"place": re.compile(rf"\s*{PLACE}\s*$"), "title": re.compile(rf"\s*(?:{TITLE})\s*$")}

BLOCK_TAGS = """address article aside base basefont blockquote body caption center col colgroup dd details dialog dir
    div dl dt fieldset figcaption figure footer form frame frameset h[1-6] head header hr html iframe legend li link
    main menu menuitem nav noframes ol optgroup option p param search section summary table tbody td tfoot th thead
    title tr track ul"""
TAG = r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>"
HTML_BLOCKS = [  # how one begins, and in which line it ends
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (
        (r" {0,3}<(?:script|pre|style|textarea)(?:\s|>|$)", r"</(?:script|pre|style|textarea)>"),
        (r" {0,3}<!--", "-->"),
        (r" {0,3}<\?", r"\?>"),
        (r" {0,3}<!\[CDATA\[", r"\]\]>"),
        (r" {0,3}<![A-Z]", ">"),
        (rf" {{0,3}}</?(?:{'|'.join(BLOCK_TAGS.split())})(?:\s|/?>|$)", r"^\s*$"),
    )
]
LONE_TAG = re.compile(rf" {{0,3}}{TAG}\s*$")  # begins a block too, but for within a paragraph
BLANK = HTML_BLOCKS[-1][1]


class Blocks:
    """What each line is by those before it.

    kept: nothing of it is prose. begin, follow: the first line of a paragraph, heading or row, and another of the same
    paragraph. html: of a block of HTML. front: how many lines the front matter has.
    """

    def __init__(self, front: int = 0) -> None:
        self.front, self.blank = front, True
        self.holders = list[int]()  # what is open: 0 a quote, else the columns before the content of an item
        self.paragraph = self.table = self.in_html = False
        self.fence, self.html = "", BLANK
        self.label = ""  # of AFTER_LABEL: what may come next of where a link leads
        self.cells = 0  # of the line of a paragraph, as if it were a table's
        self.empty = False  # an item whose content has not begun: a blank line ends it

    @property
    def may_cut(self) -> bool:
        """Whether a line without indent that comes next is read as by a new object."""
        return self.blank and not self.front and not self.fence and not self.in_html

    def read(self, line: str) -> Kind:
        self.blank = not line.strip()
        if self.front:
            self.front -= 1
            return "kept"
        if self.empty and self.blank:
            self._close(len(self.holders) - 1)
        self.empty, line = False, line.expandtabs(4)
        at, matched = self._enter(line)
        if matched < len(self.holders):
            if self.paragraph and not self._begins(line[at:]) and not ITEM.match(line, at):
                return "follow"
            self._close(matched)
        if self.fence or self.in_html:
            return self._within(line[at:])
        return self._leaf(line[self._open(line, at) :])

    def _enter(self, line: str) -> tuple[int, int]:
        """The column behind the marks and margins of what is open, and how much of it goes on."""
        at = 0
        for number, margin in enumerate(self.holders):
            quote = QUOTE.match(line, at)
            if margin and line[at : at + margin].strip():
                return at, number
            if not margin and not quote:
                return at, number
            at = min(len(line), at + margin) if margin else quote.end() if quote else at
        return at, len(self.holders)

    def _close(self, matched: int) -> None:
        del self.holders[matched:]
        self.paragraph = self.table = self.in_html = False
        self.fence = self.label = ""

    def _begins(self, text: str) -> bool:
        """Whether it ends a paragraph: a line that begins something else."""
        if not text.strip():
            return True
        item = ITEM.match(text)
        listed = item and text[item.end() :].strip() and item["mark"].rstrip(".)") in {*"-*+", "1"}
        html = any(begin.match(text) for begin, _ in HTML_BLOCKS)
        return bool(listed or html or any(p.match(text) for p in (QUOTE, RULE, HEADING, FENCE, NOTE)))

    def _open(self, line: str, at: int) -> int:
        """Opens what the line opens, and returns the column where its content begins."""
        while len(self.holders) < DEEPEST:
            text = line[at:]
            item, note = ITEM.match(text), NOTE.match(text)
            if (self.paragraph and not self._begins(text)) or RULE.match(text):
                return at
            if quote := QUOTE.match(text):
                margin, at = 0, at + quote.end()
            elif item:
                self.empty = not text[item.end() :].strip()
                margin = item.end("mark") + 1 if self.empty or len(item["gap"]) > 4 else item.end()
                at = min(len(line), at + margin)
            elif note:
                margin, at = NOTE_MARGIN, at + note.end()
            else:
                return at
            self._close(len(self.holders))
            self.holders.append(margin)
        return at

    def _within(self, text: str) -> Kind:
        """Of a fence, or of a block of HTML."""
        if self.fence:
            closing = FENCE.match(text)
            if closing and closing["fence"].startswith(self.fence) and not text[closing.end() :].strip():
                self.fence = ""
            return "kept"
        self.in_html = not self.html.search(text)
        return "html" if text.strip() else "kept"

    def _leaf(self, text: str) -> Kind:
        goes_on, self.paragraph = self.paragraph, False
        if self._is_kept(text, goes_on=goes_on):
            return "kept"
        for begin, end in (*HTML_BLOCKS, *([] if goes_on else [(LONE_TAG, BLANK)])):
            if begin.match(text):
                self.html, self.in_html, self.table = end, not end.search(text), False
                return "html"
        if HEADING.match(text):
            self.table = False
            return "begin"
        self.paragraph, self.cells = not self.table, len(_cells(text))
        return "follow" if goes_on else "begin"

    def _is_kept(self, text: str, *, goes_on: bool) -> bool:
        """Of a blank line, code, a rule or underline, the second line of a table, where a link leads."""
        wanted, self.label = self.label, ""
        fence, label = FENCE.match(text), None if goes_on else LABEL.match(text)
        if not text.strip() or (text.startswith("    ") and not goes_on):
            self.table = False
        elif fence:
            self.fence, self.table = fence["fence"], False
        elif goes_on and _is_delimiter(text) and len(_cells(text)) == self.cells:
            self.table = True
        elif label:
            self.label = "title" if label["place"] else "place"
        elif wanted and AFTER_LABEL[wanted].match(text):
            self.label = "title" if wanted == "place" else ""
        else:
            return bool(RULE.match(text) or (goes_on and UNDERLINE.match(text)))
        return True


def _cells(row: str) -> list[str]:
    return CELL_END.split(row.strip().removeprefix("|").removesuffix("|"))


def _is_delimiter(row: str) -> bool:
    return "|" in row and all(DELIMITER.fullmatch(cell) for cell in _cells(row))
