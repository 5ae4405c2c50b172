"""FLAC's frames, as RFC 9639 has them: the last one says how many samples there are, whatever the header says."""

from functools import cache

from tasks.audio.bad_clip import BadClip

TOTAL = 36  # bits of the number of samples in STREAMINFO, 0 where it was not known
JOINTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # where another file begins, with its STREAMINFO
LARGEST_FRAME = 1 << 24  # bytes, where STREAMINFO does not say


def complete_header(data: bytes) -> bytes:
    """The file, with the number of samples that its last frame says. Raises BadClip "truncated" or "joined"."""
    if len(data) < 42 or not (first := _first_frame(data)):
        raise BadClip("truncated", "the file ends in its header")
    at = data.find(b"fLaC", first)
    while at > 0:
        if data.startswith(JOINTS, at):
            raise BadClip("joined", f"another recording begins at byte {at}")
        at = data.find(b"fLaC", at + 1)
    declared = int.from_bytes(data[21:26], "big") & (1 << TOTAL) - 1
    total = _samples(data, first, declared)
    if total and total == declared:
        return data
    if total < declared or not total:
        raise BadClip("truncated", f"{total} samples" + (f", where the header says {declared}" if declared else ""))
    known = int.from_bytes(data[18:26], "big")
    return data[:18] + (known >> TOTAL << TOTAL | total).to_bytes(8, "big") + data[26:]


def ends_whole(data: bytes) -> bool:
    """Whether the file ends with a whole frame."""
    first = _first_frame(data)
    return bool(first and _samples(data, first, -1))


def _first_frame(data: bytes) -> int:
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = bool(data[at] & 0x80)
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at if last and at + 4 < len(data) else 0


def _samples(data: bytes, first: int, declared: int) -> int:
    """The samples up to the end of the last frame that is whole or that says what is declared; 0 where there is none.
    A frame that ends the file too early counts as far as it begins.
    """
    end = len(data) - 128 if data[-128:-125] == b"TAG" else len(data)
    block, largest = int.from_bytes(data[10:12], "big"), int.from_bytes(data[15:18], "big") or LARGEST_FRAME
    at, begun = end, 0
    while at > first and end - at <= 2 * largest + 32:
        at = data.rfind(data[first : first + 2], first, at + 1 if at < end else end)
        if at < 0:
            break
        if header := _header(data, at, block):
            start, stop = header
            if stop == declared:
                return stop
            if _crc16(data[at : end - 2]) == int.from_bytes(data[end - 2 : end], "big"):
                return stop
            if declared > 0 and stop < declared:
                begun = max(begun, start)
                break
        at -= 1
    return begun if declared > 0 else 0


def _header(data: bytes, at: int, block: int) -> tuple[int, int] | None:
    """The samples before a frame and up to its end, None where no header of a frame is here."""
    if at + 6 > len(data) or data[at + 3] & 1 or data[at + 3] >> 4 > 10 or data[at + 2] & 15 == 15:
        return None
    lead = data[at + 4]
    more = 0 if lead < 0x80 else 8 - (lead ^ 0xFF).bit_length() - 1
    number, place = lead if not more else lead & (0x3F >> more), at + 5
    for byte in data[place : place + more]:
        number, place = number << 6 | byte & 0x3F, place + 1
    size = data[at + 2] >> 4
    if size in {6, 7}:
        width = size - 5
        samples = int.from_bytes(data[place : place + width], "big") + 1
        place += width
    else:
        samples = {0: 0, 1: 192}.get(size) or (576 << size - 2 if size < 6 else 256 << size - 8)
    place += {12: 1, 13: 2, 14: 2}.get(data[at + 2] & 15, 0)
    if size == 0 or place >= len(data) or _crc8(data[at:place]) != data[place]:
        return None
    start = number if data[at + 1] & 1 else number * block
    return start, start + samples


@cache
def _table(bits: int, polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        rest = value << bits - 8
        for _ in range(8):
            rest = (rest << 1 ^ (polynomial if rest >> bits - 1 else 0)) & (1 << bits) - 1
        table.append(rest)
    return table


def _crc8(data: bytes) -> int:
    table, rest = _table(8, 0x07), 0
    for byte in data:
        rest = table[rest ^ byte]
    return rest


def _crc16(data: bytes) -> int:
    table, rest = _table(16, 0x8005), 0
    for byte in data:
        rest = rest << 8 & 0xFF00 ^ table[rest >> 8 ^ byte]
    return rest
