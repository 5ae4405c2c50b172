"""Ogg's pages, as RFC 3533 has them: each with a checksum and a number, the last one marked as such."""

import zlib

from tasks.audio.bad_clip import BadClip

FIRST, LAST = 2, 4  # flags
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_pages(data: bytes) -> bytes:
    """The file, as it is. Raises BadClip "truncated" without a last page, "damaged" where a page is not what its
    checksum says or is missing, "joined" where another stream begins after the end of all.
    """
    at, numbers, ended = 0, dict[bytes, int](), set[bytes]()
    while data.startswith(b"OggS", at):
        segments = data[at + 26] if at + 27 <= len(data) else 255
        end = at + 27 + segments
        end += sum(data[at + 27 : end]) if end <= len(data) else 1
        if end > len(data):
            raise BadClip("truncated", f"the page at byte {at} is cut off")
        flags, serial, number = data[at + 5], data[at + 14 : at + 18], int.from_bytes(data[at + 18 : at + 22], "little")
        if checksum(data[at : at + 22] + bytes(4) + data[at + 26 : end]) != int.from_bytes(
            data[at + 22 : at + 26], "little"
        ):
            raise BadClip("damaged", f"the page at byte {at} is not what its checksum says")
        if flags & FIRST and ended:
            raise BadClip("joined", f"another stream begins at byte {at}")
        if number != numbers.get(serial, number - 1) + 1:
            raise BadClip("damaged", f"{number - numbers[serial] - 1} pages are missing before byte {at}")
        numbers[serial] = number
        if flags & LAST:
            ended.add(serial)
        at = end
    if data.find(b"OggS\0", at) >= 0:
        raise BadClip("damaged", f"what stands at byte {at} is no page")
    if len(ended) < len(numbers):
        raise BadClip("truncated", "no page is marked as the last")
    return data


def checksum(page: bytes) -> int:
    """Ogg's CRC of a page whose checksum is zero: zlib's, with the bits of every byte and of the sum mirrored."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(MIRRORED), "big")
