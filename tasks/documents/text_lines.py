"""Lines of a file, wherever it is cut; a line ends with a line feed, and whatever else stands in it is part of it."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from infra.errors import UserError
from tasks.documents.document import LONGEST_LINE, Range

WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32 LE begins as UTF-16 LE does


def check_encoding(file: BinaryIO) -> None:
    """Raises UserError for text of more than a byte a character, as its byte order mark tells; at the file's begin."""
    if file.read(4).startswith(WIDE):
        raise UserError("in UTF-16 or UTF-32; write it in UTF-8")
    file.seek(0)


def cut_lines(file: BinaryIO, most: int) -> Iterator[Range]:
    """Ranges of whole lines, each `most` bytes and what its last line needs beyond."""
    check_encoding(file)
    begin, line = 0, 1
    while block := file.read(most):
        block += b"" if block.endswith(b"\n") else read_line(file)
        yield Range(begin, begin + len(block), line)
        begin, line = begin + len(block), line + block.count(b"\n")


def read_line(file: BinaryIO) -> bytes:
    """With its end; b"" at the end of the file. Raises UserError for one that is too long to be text."""
    line = file.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise UserError(f"a line of more than {LONGEST_LINE >> 20} MB, which is no text; put line feeds into it")
    return line


def read_lines(file: BinaryIO, where: Range) -> Iterator[tuple[int, bytes]]:
    """The lines of a range with their numbers and ends."""
    if where.begin == 0:
        check_encoding(file)
    file.seek(where.begin)
    at, number = where.begin, where.line
    while (where.end < 0 or at < where.end) and (line := read_line(file)):
        yield number, line
        at, number = at + len(line), number + 1


def decode_line(line: bytes, number: int) -> tuple[bytes, str, bytes, str]:
    """The byte order mark, the text, the line's end, and "" or why it is none that can be read."""
    mark = codecs.BOM_UTF8 if number == 1 and line.startswith(codecs.BOM_UTF8) else b""
    end = b"\r\n" if line.endswith(b"\r\n") else b"\n" if line.endswith(b"\n") else b""
    content = line[len(mark) : len(line) - len(end)]
    try:
        return mark, content.decode(), end, ""
    except UnicodeDecodeError as error:
        told = f"not UTF-8 (byte 0x{content[error.start]:02x} at {error.start})"
        return mark, content.decode(errors="backslashreplace"), end, told
