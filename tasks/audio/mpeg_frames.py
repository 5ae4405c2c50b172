"""MPEG audio frame by frame: the one way to know how long an mp3 is, and whether all of it is there.

Sources: ISO/IEC 11172-3 and 13818-3 for the headers; the Xing tag (Info, VBRI) in a first frame without sound, which
says the number of frames. A decoder stops where the tag says, and without one it estimates by the first frame.
"""

from dataclasses import dataclass
from functools import lru_cache

from tasks.audio.bad_clip import BadClip

SEARCHED = 1 << 16  # bytes before the first frame
CHAIN = 3  # frames, one after the other, are no chance
REST_BYTES = 4096  # after the last frame that are no tag
TRIMMED = 4608  # samples that a decoder may leave out at both ends: the encoder's delay and padding

KBPS = {  # by version (1 or 2) and layer
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version's bits


@dataclass(frozen=True)
class Frames:
    """start, end: bytes of the first frame and after the last. counted: frames with sound. samples: theirs. announced:
    by the tag, None without one. tag: bytes of its frame.
    """

    start: int
    end: int
    counted: int
    samples: int
    announced: int | None
    tag: int


def complete_header(data: bytes) -> bytes:
    """The file, with a tag that says the number of frames where it has none or one that says less. Raises BadClip
    "truncated", "damaged" or "joined"; what does not begin with MPEG frames is left to others.
    """
    frames = find_frames(data)
    if not frames or frames.announced in {frames.counted, frames.counted + 1}:  # some count the tag's own
        return data
    if frames.announced is not None and frames.announced > frames.counted:
        raise BadClip("truncated", f"{frames.counted} frames, where the header says {frames.announced}")
    first = int.from_bytes(data[frames.start : frames.start + 4], "big")
    if first >> 17 & 3 != 1:  # the tag is layer III's
        return data
    return _tag(first, frames.counted) + data[frames.start + frames.tag : frames.end]


def find_frames(data: bytes) -> Frames | None:
    """All frames of the file, which has nothing else but tags before and after them."""
    start = _first(data, after_tags(data, 0))
    if start < 0:
        return None
    end, counted, samples = follow_frames(data, start)
    if end > len(data):
        raise BadClip("truncated", f"ends {end - len(data)} bytes before its last frame does")
    _check_rest(data, start, end)
    _check_tags(data, start, end)
    length, count = frame(data[start : start + 4])
    tagged, announced = _announced(data, start)
    if tagged:
        return Frames(start, end, counted - 1, samples - count, announced, length)
    return Frames(start, end, counted, samples, None, 0)


def follow_frames(data: bytes, at: int) -> tuple[int, int, int]:
    """Where the last frame ends of those that follow each other from here, their number and their samples."""
    kind, last, counted, samples = _kind(data, at), len(data) - 4, 0, 0
    while at <= last:
        header = data[at : at + 4]
        length, count = frame(header)
        if not length or _kind_in(header) != kind:
            break
        if not counted:
            counted = _alike(data, at, length)
            at += length * counted
            samples += count * counted
        else:
            at += length
            counted += 1
            samples += count
    return at, counted, samples


def _alike(data: bytes, at: int, length: int) -> int:
    """How many headers from this one on stand `length` bytes apart and say the same of length and samples: all that
    there is room for, as in most files of a constant bit rate, looked at in one go; else this one.
    """
    stop = len(data) - 3
    count = len(range(at, stop, length))
    same = all(data[at + i : stop + i : length] == data[at + i : at + i + 1] * count for i in range(3))
    return count if same and len({mode >> 6 == 3 for mode in set(data[at + 3 : stop + 3 : length])}) == 1 else 1


@lru_cache(1 << 12)
def frame(header: bytes) -> tuple[int, int]:
    """Length in bytes and in samples of the frame with this header, (0, 0) where it is none."""
    word = int.from_bytes(header, "big")
    bits, layer, kbps, rate = word >> 19 & 3, 4 - (word >> 17 & 3), word >> 12 & 15, word >> 10 & 3
    if len(header) < 4 or word >> 21 != 0x7FF or bits == 1 or layer == 4 or kbps in {0, 15} or rate == 3:
        return 0, 0
    version = 1 if bits == 3 else 2
    samples = 384 if layer == 1 else 576 if (version, layer) == (2, 3) else 1152
    slot = 4 if layer == 1 else 1
    slots = samples // 8 // slot * KBPS[version, layer][kbps] * 1000 // RATES[bits][rate] + (word >> 9 & 1)
    return slots * slot, samples


def _kind(data: bytes, at: int) -> tuple[int, bool]:
    return _kind_in(data[at : at + 4])


@lru_cache(1 << 12)
def _kind_in(header: bytes) -> tuple[int, bool]:
    """What stays the same throughout a stream: version, layer and rate; and whether it is mono."""
    word = int.from_bytes(header, "big")
    return word & 0xFFFE0C00, word >> 6 & 3 == 3


def after_tags(data: bytes, at: int) -> int:
    """After the tags of ID3, APE and Lyrics3 that begin here, if any."""
    while True:
        if data.startswith(b"ID3", at) and at + 10 <= len(data):
            sizes = data[at + 6 : at + 10]  # seven bits a byte
            at += 10 + (sizes[0] << 21 | sizes[1] << 14 | sizes[2] << 7 | sizes[3]) + (10 if data[at + 5] & 16 else 0)
        elif data.startswith(b"APETAGEX", at) and at + 32 <= len(data):
            has_header = data[at + 23] & 0x20
            at += int.from_bytes(data[at + 12 : at + 16], "little") + 32 if has_header else 32
        elif data.startswith(b"LYRICSBEGIN", at) and (end := data.find(b"LYRICS200", at)) > 0:
            at = end + 9
        elif data.startswith(b"TAG", at):
            at += 128
        else:
            return at


def _first(data: bytes, at: int) -> int:
    """Where frames begin, not far from here, -1 where they do not."""
    stop = at + SEARCHED
    while 0 <= at <= stop and not _chained(data, at):
        at = data.find(b"\xff", at + 1, stop)
    return at if 0 <= at <= stop else -1


def _chained(data: bytes, at: int) -> bool:
    """Whether some frames of one kind follow each other, or one of them reaches the end of the file."""
    kind, length = _kind(data, at), frame(data[at : at + 4])[0]
    for _ in range(CHAIN):
        if not length or _kind(data, at) != kind:
            return False
        at += length
        if at + 4 > len(data):
            return True
        if data.startswith((b"TAG", b"ID3", b"APETAGEX", b"LYRICS"), at):
            return True
        length = frame(data[at : at + 4])[0]
    return True


def _check_rest(data: bytes, start: int, end: int) -> None:
    """Raises BadClip for frames after what ends the first ones, and for much that is neither tag nor zeros."""
    after = after_tags(data, end)
    kind = _kind(data, start)
    if after < len(data) and frame(data[after : after + 4])[0] and _chained(data, after):
        raise BadClip("joined", f"another recording begins at byte {after}")
    at = data.find(b"\xff", after)
    while 0 <= at < len(data) - 4:
        if _kind(data, at) == kind and _chained(data, at):
            raise BadClip("damaged", f"{at - end} bytes from byte {end} on are no frames")
        at = data.find(b"\xff", at + 1)
    if len(data) - after > REST_BYTES and data.count(0, after) < len(data) - after:
        raise BadClip("damaged", f"the last {len(data) - after} bytes are no frames")


def _check_tags(data: bytes, start: int, end: int) -> None:
    """Raises BadClip where a frame in the middle has a Xing tag, as the first one of a recording has."""
    offset = _tag_offset(int.from_bytes(data[start : start + 4], "big"))
    for name in (b"Xing", b"Info"):
        at = data.find(name, start + offset + 4, end)
        while at >= 0:
            if _kind(data, at - offset) == _kind(data, start) and _announced(data, at - offset)[0]:
                raise BadClip("joined", f"another recording begins at byte {at - offset}")
            at = data.find(name, at + 1, end)


def _tag_offset(word: int) -> int:
    """Bytes of a layer III frame before its Xing tag: its header and what the decoder has to know, all zero."""
    mono = word >> 6 & 3 == 3
    return 4 + ((17 if mono else 32) if word >> 19 & 3 == 3 else (9 if mono else 17))


def _announced(data: bytes, at: int) -> tuple[bool, int | None]:
    """Whether the frame here has a tag, and how many frames it says follow."""
    tag = at + _tag_offset(int.from_bytes(data[at : at + 4], "big"))
    for place in (tag, tag + 2):  # after a checksum
        if data.startswith((b"Xing", b"Info"), place) and frame(data[at : at + 4])[0]:
            known = data[place + 7] & 1
            return True, int.from_bytes(data[place + 8 : place + 12], "big") if known else None
    if data.startswith(b"VBRI", at + 36):
        return True, int.from_bytes(data[at + 50 : at + 54], "big")
    return False, None


def _tag(first: int, counted: int) -> bytes:
    """A frame without sound, of the kind of this header, with the number of frames."""
    bits = first >> 19 & 3
    word = first & ~0xF000 & ~0x200 | 1 << 16 | (9 if bits == 3 else 8) << 12  # no checksum, no padding, room enough
    header = word.to_bytes(4, "big")
    tag = header + bytes(_tag_offset(word) - 4) + b"Xing" + (1).to_bytes(4, "big") + counted.to_bytes(4, "big")
    return tag + bytes(frame(header)[0] - len(tag))
