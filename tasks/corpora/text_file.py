"""A text file, perhaps compressed, perhaps not text at all: its characters in pieces, or what is wrong with it.

Whether it is compressed is a matter of its first bytes, whatever it is called.
"""

import codecs
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa

from infra import storage
from infra.errors import UserError
from tasks.corpora.archive_members import ALLOWANCE_BYTES, RATIO
from tasks.corpora.corpus_files import Location

READ_BYTES = 4 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # what these begin with
PIECE_CHARACTERS = 1 << 18
BYTE_ORDER_MARK = "\ufeff"


class BadText(Exception):  # noqa: N818  (not an error of the program: a file for the quarantine)
    """reason, detail: as the quarantine table has them."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def read_text(name: str, place: Location) -> Iterator[str]:
    """The text of a file at a place, unpacked, in pieces. Raises BadText, perhaps half-way."""
    return decode_utf8(read_unpacked(name, place))


def read_unpacked(name: str, place: Location) -> Iterator[bytes]:
    """The bytes of a file at a place. Raises BadText, perhaps half-way."""
    uri, offset, size = place
    packed = (storage.read(uri, offset + at, min(READ_BYTES, size - at)) for at in range(0, size, READ_BYTES))
    first = next(packed, b"")
    chunks = chain([first], packed)
    if first.startswith(GZIP) or name.endswith(".gz"):
        return _bounded(_gunzipped(chunks), size)
    if first.startswith(ZSTD) or name.endswith(".zst"):
        return _bounded(_unzstandard(chunks), size)
    return chunks


def read_lines(name: str, place: Location) -> Iterator[str]:
    """The lines of a file at a place, unpacked, without line ends; bytes that are not UTF-8 become U+FFFD. Only a line
    feed ends a line, so that files stay aligned. Raises UserError for UTF-16, and for a file that cannot be unpacked.
    """
    decoder, rest, begun = codecs.getincrementaldecoder("utf-8")("replace"), "", False
    try:
        for chunk in read_unpacked(name, place):
            if not begun and chunk.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{place[0]}: in UTF-16; write it in UTF-8")
            text = decoder.decode(chunk)
            rest += text if begun else text.removeprefix(BYTE_ORDER_MARK)
            begun = begun or bool(text)
            *lines, rest = rest.split("\n")
            for line in lines:
                yield line.removesuffix("\r")
    except BadText as bad:
        raise UserError(f"{place[0]}: {bad.reason} ({bad.detail}); download it again, or unpack it") from bad
    if rest := rest + decoder.decode(b"", final=True):
        yield rest.removesuffix("\r")


def read_whole_text(path: str) -> str:
    """The text of a file that a user names. Raises UserError for one that cannot be read."""
    try:
        found = storage.stat(path)
        if found is None:
            raise UserError(f"{path}: cannot be read (no such file)")
        return "".join(read_text(path, (path, 0, found.size)))
    except BadText as bad:
        raise UserError(f"{path}: {bad.reason} ({bad.detail}); give UTF-8 text, which may be compressed") from bad
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def decode_utf8(chunks: Iterable[bytes]) -> Iterator[str]:
    """UTF-8 in pieces of PIECE_CHARACTERS. Raises BadText where it is empty, or not UTF-8, with the byte offset."""
    decoder, held, seen, begun = codecs.getincrementaldecoder("utf-8")(), "", 0, False
    for chunk in chunks:
        waiting = len(decoder.getstate()[0])  # bytes of a character that the last chunk began
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise BadText("not UTF-8", f"at byte {seen - waiting + error.start}: {error.reason}") from error
        seen += len(chunk)
        held += text if begun else text.removeprefix(BYTE_ORDER_MARK)
        begun = begun or bool(text)
        while len(held) >= PIECE_CHARACTERS:
            yield held[:PIECE_CHARACTERS]
            held = held[PIECE_CHARACTERS:]
    if waiting := len(decoder.getstate()[0]):
        raise BadText("not UTF-8", f"at byte {seen - waiting}: it ends in the middle of a character")
    if held:
        yield held
    elif seen <= len(BYTE_ORDER_MARK.encode()):
        raise BadText("empty file", "no characters")


def _bounded(chunks: Iterator[bytes], packed: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > RATIO * packed + ALLOWANCE_BYTES:
            raise BadText("unpacks without end", f"{total >> 20} MB so far, more than {RATIO} times its size")
        yield chunk


def _gunzipped(packed: Iterable[bytes]) -> Iterator[bytes]:
    """Of one or more gzip members, one after the other."""
    unzip, begun = zlib.decompressobj(wbits=31), False
    try:
        for chunk in packed:
            rest = chunk
            while rest:
                begun = True
                yield unzip.decompress(rest, READ_BYTES)
                rest = unzip.unconsumed_tail or unzip.unused_data
                if unzip.eof:
                    unzip, begun = zlib.decompressobj(wbits=31), False
    except zlib.error as error:
        raise BadText("damaged gzip file", str(error)) from error
    if begun:
        raise BadText("damaged gzip file", "it ends in the middle")


def _unzstandard(packed: Iterable[bytes]) -> Iterator[bytes]:
    source = pa.CompressedInputStream(pa.PythonFile(ByteStream(packed), "r"), "zstd")
    try:
        while data := source.read(READ_BYTES):
            yield data
    except OSError as error:
        raise BadText("damaged zstd file", str(error).splitlines()[0]) from error


class ByteStream:
    """An iterator of bytes as a file that can be read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks, self.held, self.closed = iter(chunks), b"", False

    def read(self, size: int) -> bytes:
        while len(self.held) < size and (more := next(self.chunks, b"")):
            self.held += more
        data, self.held = self.held[:size], self.held[size:]
        return data

    def close(self) -> None:
        self.closed = True
