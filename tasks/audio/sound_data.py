"""Where the samples of a container lie, and how many bytes of them its header announces.

Sources: Microsoft's RIFF and EBU Tech 3306 (RF64), Sony's Wave64, Apple's AIFF and CAF, Sun's .au, NIST's SPHERE,
Creative's .voc, and libsndfile's own readers for the rest.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Field:
    """A number in a header that depends on the size of the sound: (size + added) // divisor."""

    place: int
    width: int
    order: Literal["little", "big"]
    added: int = 0
    divisor: int = 1

    def encoded(self, size: int) -> bytes:
        value = (size + self.added) // self.divisor
        return min(value, (1 << 8 * self.width) - 1).to_bytes(self.width, self.order)


@dataclass(frozen=True)
class Chunks:
    """How a file is divided: a name, then a size of `width` bytes, of the content or (whole) of the header as well."""

    name: int = 4
    width: int = 4
    order: Literal["little", "big"] = "little"
    alignment: int = 2
    whole: bool = False

    def header(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Name and length, header included, of the chunk here."""
        size = int.from_bytes(data[at + self.name : at + self.name + self.width], self.order)
        return data[at : at + self.name], size + (0 if self.whole else self.name + self.width)

    def walk(self, data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
        """Name, start of the content and its size, up to the chunk that reaches the end of the file or beyond it."""
        before = self.name + self.width
        while at + before <= len(data):
            name, length = self.header(data, at)
            yield name, at + before, length - before
            at += max(length, before) + -length % self.alignment


@dataclass(frozen=True)
class SoundData:
    """start: of the samples. size: as announced, None where the header leaves it open. fields: that hold it. chunks:
    how what follows is divided, None where nothing may. again: what another recording begins with. read_on: libsndfile
    takes what follows for sound.
    """

    start: int
    size: int | None
    bytes_per_second: float
    fields: tuple[Field, ...] = ()
    chunks: Chunks | None = None
    again: tuple[bytes, ...] = ()
    read_on: bool = False


RIFF, IFF = Chunks(), Chunks(order="big")
W64 = Chunks(name=16, width=8, alignment=8, whole=True)
CAF = Chunks(width=8, order="big", alignment=1)


def _riff(data: bytes) -> SoundData | None:
    """RIFF, RIFX and RF64 (BW64): the 64-bit size of the last stands in its chunk ds64."""
    chunks, rate = IFF if data[:4] == b"RIFX" else RIFF, 0.0
    large = (0, 0)  # place and value of the 64-bit size
    for name, start, size in chunks.walk(data, 12):
        if name == b"ds64":
            large = (start + 8, int.from_bytes(data[start + 8 : start + 16], "little"))
        elif name == b"fmt ":
            rate = float(int.from_bytes(data[start + 8 : start + 12], chunks.order))
        elif name == b"data":
            again = (b"RIFF", b"RIFX", b"RF64", b"BW64")
            if large[0] and size == 0xFFFFFFFF:
                fields = (Field(large[0], 8, "little"), Field(large[0] - 8, 8, "little", start - 8))
                return SoundData(start, large[1], rate, fields, chunks, again)
            fields = (Field(start - 4, 4, chunks.order), Field(4, 4, chunks.order, start - 8))
            return SoundData(start, size, rate, fields, chunks, again)
    return None


def _wave64(data: bytes) -> SoundData | None:
    rate = 0.0
    for name, start, size in W64.walk(data, 40):
        if name[:4] == b"fmt ":
            rate = float(int.from_bytes(data[start + 8 : start + 12], "little"))
        elif name[:4] == b"data":
            fields = (Field(start - 8, 8, "little", 24), Field(16, 8, "little", start))
            return SoundData(start, size, rate, fields, W64, (b"riff",), read_on=True)
    return None


def _iff(data: bytes) -> SoundData | None:
    """AIFF, AIFC and 8SVX (16SV). Of sound at the file's end, AIFF's number of frames tells whether it is whole."""
    frames, frame_bytes, rate, compressed = 0, 1, 0.0, False
    counted: tuple[Field, ...] = ()
    for name, start, size in IFF.walk(data, 12):
        if name == b"COMM":
            channels, bits = (int.from_bytes(data[start + i : start + i + 2], "big") for i in (0, 6))
            frames, frame_bytes = int.from_bytes(data[start + 2 : start + 6], "big"), channels * -(-bits // 8) or 1
            rate = _extended(data[start + 8 : start + 18]) * frame_bytes
            compressed = size > 18 and data[start + 18 : start + 22] not in UNCOMPRESSED
            counted = () if compressed else (Field(start + 2, 4, "big", 0, frame_bytes),)
        elif name == b"VHDR":
            rate = 2.0 * int.from_bytes(data[start + 12 : start + 14], "big")
        elif name in {b"SSND", b"BODY"}:
            before = 8 if name == b"SSND" else 0  # offset and block size
            fields = (Field(start - 4, 4, "big", before), Field(4, 4, "big", start + before - 8), *counted)
            announced = size - before
            last = start + size >= len(data)
            if last and not compressed and 0 < announced < frames * frame_bytes:
                announced = frames * frame_bytes
            return SoundData(start + before, announced, rate, fields, IFF, (b"FORM",), read_on=name == b"BODY")
    return None


UNCOMPRESSED = (b"NONE", b"none", b"sowt", b"twos", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"raw ")


def _extended(number: bytes) -> float:
    """80 bits, as AIFF says a sample rate."""
    exponent, mantissa = int.from_bytes(number[:2], "big") & 0x7FFF, int.from_bytes(number[2:], "big")
    return mantissa * 2.0 ** (exponent - 16446) if exponent < 16446 + 32 else 0.0


def _caf(data: bytes) -> SoundData | None:
    rate = 1.0
    for name, start, size in CAF.walk(data, 8):
        if name == b"desc":
            packet, frames = (int.from_bytes(data[start + i : start + i + 4], "big") for i in (16, 20))
            bits, channels = (int.from_bytes(data[start + i : start + i + 4], "big") for i in (28, 24))
            rate = packet / frames if packet and frames else bits * channels / 8
            rate *= _double(data[start : start + 8])
        elif name == b"data":
            fields = (Field(start - 8, 8, "big", 4),)
            return SoundData(start + 4, size - 4, rate, fields, CAF, (b"caff",))
    return None


def _double(number: bytes) -> float:
    return struct.unpack(">d", number)[0] if len(number) == 8 else 0.0


def _au(data: bytes) -> SoundData | None:
    order: Literal["little", "big"] = "big" if data[:4] == b".snd" else "little"
    start, size, code, rate, channels = (int.from_bytes(data[i : i + 4], order) for i in range(4, 24, 4))
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 23: 0.5, 25: 0.375, 26: 0.625, 27: 1}.get(code, 1)
    size = 0xFFFFFFFF if size == 0 else size
    return SoundData(
        start, size, rate * channels * width, (Field(8, 4, order),), None, (b".snd", b"dns."), read_on=True
    )


def _sphere(data: bytes) -> SoundData | None:
    start = data[8:16].strip()
    header = data[: int(start)] if start.isdigit() else b""
    number = {name: int(value) for name, value in re.findall(rb"(\w+) -i (-?\d+)", header)}
    width = 1 if re.search(rb"sample_coding -s\d+ (mu-law|[ua]law)", header) else number.get(b"sample_n_bytes", 2)
    width *= number.get(b"channel_count", 1)
    count = number.get(b"sample_count", 0)
    if not header:
        return None
    size, rate = count * width if count > 0 else None, float(number.get(b"sample_rate", 0) * width)
    return SoundData(len(header), size, rate, again=(b"NIST",), read_on=True)


def _voc(data: bytes) -> SoundData | None:
    """Blocks of a type and 24 bits of size. The sound is in one, as libsndfile reads them; a terminator follows."""
    at = int.from_bytes(data[20:22], "little")
    while at + 4 <= len(data) and data[at]:
        size, before = int.from_bytes(data[at + 1 : at + 4], "little"), {1: 2, 9: 12}.get(data[at], 0)
        if before:
            rate = int.from_bytes(data[at + 4 : at + 8], "little") * 2 if before == 12 else 22050
            field = (Field(at + 1, 3, "little", before),)
            return SoundData(at + 4 + before, max(size - before, 0), float(rate), field, None, (b"Crea",), read_on=True)
        at += 4 + size
    return None


def _counted(place: int, order: Literal["little", "big"], start: int, width: int) -> Callable[[bytes], SoundData]:
    """A header of one size that says the number of units of so many bytes."""

    def find(data: bytes) -> SoundData:
        count = int.from_bytes(data[place : place + 4], order)
        return SoundData(start, count * width, 8000.0 * width, (Field(place, 4, order, 0, width),), read_on=True)

    return find


def _avr(data: bytes) -> SoundData:
    width = (2 if data[12:14] != b"\0\0" else 1) * (int.from_bytes(data[14:16], "big") // 8 or 1)
    return _counted(26, "big", 128, width)(data)


def _mpc(data: bytes) -> SoundData:
    return _counted(30, "little", 42, 4 if data[21] else 2)(data)


def _sds(data: bytes) -> SoundData:
    """Packets of 120 bytes of sound, seven bits in each; the length in samples has three bytes of seven bits."""
    count = data[10] | data[11] << 7 | data[12] << 14
    packets = -(-count // (120 // -(-data[6] // 7)))
    return SoundData(21, packets * 127, 127.0 * 200)


def _matrices(data: bytes) -> SoundData | None:
    """MATLAB's version 4: the sound is the last of the matrices, each with 20 bytes of header and a name."""
    order, at = "<" if data[:2] == b"\0\0" and data[2:4] != b"\x03\xe8" else ">", 0
    while at + 20 <= len(data):
        kind, rows, columns, _, name = struct.unpack(f"{order}5I", data[at : at + 20])
        start, size = at + 20 + name, rows * columns * (8, 4, 4, 2, 2, 1)[min(kind // 10 % 10, 5)]
        if data[at + 20 : start].startswith(b"wavedata"):
            return SoundData(start, size, 16000.0)
        at = start + size
    return None


def _elements(data: bytes) -> SoundData | None:
    """MATLAB's version 5: the sound is the last of the elements."""
    chunks = Chunks(order="little" if data[126:128] == b"IM" else "big", alignment=8)
    found = list(chunks.walk(data, 128))
    return SoundData(found[-1][1], found[-1][2] - 8, 16000.0, read_on=True) if found else None


SIGNATURES: dict[tuple[int, bytes], Callable[[bytes], SoundData | None]] = {
    (0, b"RIFF"): _riff,
    (0, b"RIFX"): _riff,
    (0, b"RF64"): _riff,
    (0, b"BW64"): _riff,
    (0, b"riff"): _wave64,
    (0, b"FORM"): _iff,
    (0, b"caff"): _caf,
    (0, b".snd"): _au,
    (0, b"dns."): _au,
    (0, b"NIST_1A"): _sphere,
    (0, b"Creative Voice File"): _voc,
    (0, b"2BIT"): _avr,
    (0, b"ALawSoundFile**"): _counted(18, "big", 32, 1),
    (0, b"\x01\x04"): _mpc,
    (0, b"\xf0\x7e"): _sds,
    (0, b"MATLAB 5.0 MAT-file"): _elements,
    (20, b"samplerate\0"): _matrices,
}
