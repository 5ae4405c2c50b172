"""TMX 1.4 (https://www.gala-global.org/tmx-14b): of each unit the source side; its translation is put behind it.

No other byte is changed. Codes of a format within a segment (bpt, ept, it, ph, ut) are left out of what is translated.
A unit that has the target language already stays as it is; where that variant is empty, as translators' tools leave it,
it is filled. Entities that a file declares itself are refused: a few lines of them are gigabytes of text.
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape, quoteattr

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from infra.errors import UserError
from tasks.documents.document import LONGEST_LINE, Passage, Range, Rest, Translated, join_bytes

BLOCK = 1 << 16
LANGUAGE = ("{http://www.w3.org/XML/1998/namespace}lang", "lang")
CODES = {"bpt", "ept", "it", "ph", "ut"}
DECLARED = re.compile(rb"""^<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
EMPTY = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}  # how UTF-16 begins without a byte order mark
SEGMENT_TAG = re.compile(r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<(/?)seg(?:\s[^>]*?)?(/?)>", re.DOTALL)
UNIT_END = re.compile(rb"</tu\s*>|<tu(?:\s[^>]*)?/>")
NO_MARKUP = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>", re.DOTALL)
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")  # in XML 1.0, references too


class Head(NamedTuple):
    """What is before the first unit. language: of the sources, "" where the file does not say one."""

    content: bytes
    language: str
    charset: str


class Segment(NamedTuple):
    """Of a variant. begin: where its tag begins. end: where its end tag does, or where `<seg/>` ends, which is both."""

    language: str
    text: str
    begin: int
    end: int


@dataclass
class Unit:
    """begin, end: where its tag and its end tag begin."""

    begin: int
    end: int = -1
    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True)
class Tmx:
    """source_language: by default as the header says."""

    source_language: str = ""
    target_language: str = ""

    def cut(self, file: BinaryIO, most: int) -> Iterator[Range]:
        begin, line = 0, 1
        file.seek(0)
        for number, unit in enumerate(_units(iter(partial(file.read, BLOCK), b""), 0, None), 1):
            if unit.begin - begin >= most and number > line:
                yield Range(begin, unit.begin, line)
                begin, line = unit.begin, number
        yield Range(begin, file.seek(0, 2), line)

    def read(self, file: BinaryIO, where: Range) -> Iterator[Passage | Rest]:
        head = _head(file)
        file.seek(where.begin)
        data = file.read() if where.end < 0 else file.read(where.end - where.begin)
        source, reached, number = self.source_language or head.language, 0, where.line - 1
        owed = b""  # the end tag of a `<seg/>` that is to be filled
        units = _units([data], where.begin, head if where.end >= 0 else None)
        for number, unit in enumerate(units, where.line):
            mine, there = _of_language(unit, source), _of_language(unit, self.target_language)
            said = [segment.text for segment in mine if segment.text.strip()]
            if mine and (not said or any(segment.text.strip() for segment in there)):
                continue
            problem = "" if mine else f"no variant in {source or 'a language that is known; name it, source_language='}"
            text = said[0] if mine else " ".join(segment.text for segment in unit.segments)
            end = (there[0].end if there and mine else unit.end) - where.begin
            kept, owed = owed + data[reached:end], b""
            if there and mine and not data.startswith("</seg".encode(head.charset), end):  # it is `<seg/>`
                kept = kept[: there[0].begin - there[0].end] + "<seg>".encode(head.charset)
                owed = "</seg>".encode(head.charset)
            reached = end
            yield Passage(kept, text, number, problem)
        yield Rest(owed + data[reached:], number - where.line + 1, head.charset)

    def write(self, passages: Sequence[Passage], texts: Sequence[Translated], rest: Rest) -> bytes:
        """A unit that could not be translated whole gets no variant."""
        made, found = list[bytes](), iter(texts)
        for passage in passages:
            made.append(passage.kept)
            if not passage.problem and (translated := next(found)).whole:
                variant = escape(FORBIDDEN.sub("\ufffd", translated.text))
                if not _in_segment(passage.kept.decode(rest.charset, "replace")):
                    variant = f"<tuv xml:lang={quoteattr(self.target_language)}><seg>{variant}</seg></tuv>"
                made.append(variant.encode(rest.charset, "xmlcharrefreplace"))
        return b"".join((*made, rest.kept))

    def count(self, written: bytes) -> int:
        return len(UNIT_END.findall(NO_MARKUP.sub(b"", written.replace(b"\0", b""))))

    def join(self, ranges: Iterable[bytes], place: Path) -> None:
        join_bytes(ranges, place)


class _Builder:
    """What the parser tells: units as they end."""

    def __init__(self) -> None:
        self.parser: Any = None
        self.shift, self.units = 0, list[Unit]()
        self.first: int | None = None
        self.language, self.unit, self.variant = "", Unit(-1), ""
        self.text: list[str] | None = None
        self.opened = -1  # where the segment's tag begins
        self.skipped = self.held = 0
        self.space = ""  # the namespace of names without a prefix

    def at(self) -> int:
        return self.parser.CurrentByteIndex + self.shift

    def start_ns(self, prefix: str, space: str) -> None:
        self.space = self.space if prefix else space

    def _name(self, tag: str) -> str:
        """Without its namespace. Raises UserError where it has a prefix, which what is written would lack."""
        space, _, name = tag.rpartition("}")
        if name == "tu" and space.removeprefix("{") not in {"", self.space}:
            raise UserError("its units have names with a prefix, as in <x:tu>; write them without one")
        return name

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = self._name(tag)
        if tag == "header":
            language = attributes.get("srclang", "")
            self.language = "" if language.lower() == "*all*" else language
        elif tag == "tu":
            self.first = self.at() if self.first is None else self.first
            self.unit, self.held = Unit(self.at()), 0
        elif tag == "tuv":
            self.variant = next((attributes[name] for name in LANGUAGE if name in attributes), "")
        elif tag == "seg":
            self.text, self.opened = [], self.at()
        elif tag in CODES:
            self.skipped += 1

    def data(self, text: str) -> None:
        if self.text is not None and not self.skipped:
            self.text.append(text)
            self.held += len(text)
            if self.held > LONGEST_LINE:
                raise UserError(f"a unit of more than {LONGEST_LINE >> 20} MB, which is no text")

    def end(self, tag: str) -> None:
        tag = self._name(tag)
        if tag == "seg" and self.text is not None:
            self.unit.segments.append(Segment(self.variant, "".join(self.text), self.opened, self.at()))
            self.text = None
        elif tag in CODES:
            self.skipped -= 1
        elif tag == "tu":
            self.unit.end = self.at()
            self.units.append(self.unit)

    def close(self) -> None: ...


def _units(blocks: Iterable[bytes], begin: int, head: Head | None) -> Iterator[Unit]:
    """Those of a range from `begin` on, which is read behind the head of its file; None: of a whole file."""
    builder, parser = _builder()
    if head and begin:
        _feed(parser, head.content)
        builder.shift = begin - len(head.content)
    for block in blocks:
        _feed(parser, block)
        yield from builder.units
        builder.units.clear()
    if head is None:
        _feed(parser, None)


def _head(file: BinaryIO) -> Head:
    builder, parser = _builder()
    file.seek(0)
    read = b""
    while builder.first is None and (block := file.read(BLOCK)):
        _feed(parser, block)
        read += block
    declared = DECLARED.search(read.removeprefix(codecs.BOM_UTF8))
    charset = declared[1].decode() if declared else "utf-8"
    charset = next((name for mark, name in (MARKS | EMPTY).items() if read.startswith(mark)), charset)
    return Head(read[: builder.first], builder.language, charset)


def _builder() -> tuple[_Builder, Any]:
    builder = _Builder()
    parser: Any = DefusedXMLParser(target=builder, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    builder.parser = parser.parser
    if hasattr(builder.parser, "SetReparseDeferralEnabled"):  # else what a block ends with may wait for the next
        builder.parser.SetReparseDeferralEnabled(0)
    return builder, parser


def _feed(parser: Any, block: bytes | None) -> None:
    """None: the end."""
    try:
        if block is None:
            parser.close()
        else:
            parser.feed(block)
    except DefusedXmlException as error:
        told = "declares entities of its own, of which a few lines can be gigabytes; write them out, or take them out"
        raise UserError(told) from error
    except (ParseError, ValueError, LookupError) as error:
        raise UserError(f"no well-formed XML ({' '.join(str(error).split())[:100]})") from error


def _in_segment(text: str) -> bool:
    """Whether it ends within a segment."""
    last = [tag for tag in SEGMENT_TAG.finditer(text) if tag[1] is not None][-1:]
    return any(not (tag[1] or tag[2]) for tag in last)


def _of_language(unit: Unit, wanted: str) -> list[Segment]:
    """Of the variants in a language, those of the very region first."""
    found = [segment for segment in unit.segments if same(segment.language, wanted)]
    return sorted(found, key=lambda segment: segment.language.lower() != wanted.lower())


def same(one: str, other: str) -> bool:
    """Whether two BCP 47 tags are of one language: en is en-US, but pt-BR is not pt-PT."""
    first, second = (re.split("[-_]", tag.lower()) for tag in (one, other))
    return bool(first[0]) and first[0] == second[0] and (first == second or 1 in (len(first), len(second)))
