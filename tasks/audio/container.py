"""A file's own word for how much sound it holds, held against the bytes that are there.

libsndfile takes what it finds: of a file cut in half it reads half and says nothing, of one written by a pipe, whose
header could not be set right at the end, it reads nothing or refuses. `complete_header` tells the two apart in every
container that says its length.
"""

from collections.abc import Callable

from tasks.audio import flac_frames, mpeg_frames, ogg_pages
from tasks.audio.bad_clip import BadClip
from tasks.audio.sound_data import SIGNATURES, SoundData

PIPED = 0x7F000000 - 64  # sizes from here on are written by a pipe: sox's AIFF says this, others up to 2^32 or 2^64 - 1
REST_SECONDS = 0.05  # of sound that no header counts
REST_BYTES = 4096  # after the last chunk: what is neither chunk nor tag nor zeros, but too little to be a recording
# What may follow the sound: tags of other formats, and chunks whose own end may be missing.
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS", b"3DI", b"LIST", b"id3 ", b"iXML", b"bext", b"_PMX", b"cue ", b"fact")


def complete_header(data: bytes) -> bytes:
    """The file (bytes, or FileBytes, which act like them), with the length in its header set to what follows where the
    header was written before it was known.

    Raises BadClip: "truncated" where the file ends before what its header announces, or goes on after it, "damaged"
    where a part in the middle is not what its format says, "joined" where another recording follows.
    """
    if data.startswith(b"ID3") and data.startswith(b"fLaC", after := mpeg_frames.after_tags(data, 0)):
        data = data[after:]
    for signature, check in CODECS.items():
        if data.startswith(signature):
            return check(data)
    for (place, signature), find in SIGNATURES.items():
        if data.startswith(signature, place):
            found = find(data)
            return _checked(data, found) if found else data
    return mpeg_frames.complete_header(data)


def fault_in(data: bytes) -> str:
    """The reason for which a file whose header is complete does not decode."""
    return "truncated" if data.startswith(b"fLaC") and not flac_frames.ends_whole(data) else "damaged"


CODECS: dict[bytes, Callable[[bytes], bytes]] = {b"fLaC": flac_frames.complete_header, b"OggS": ogg_pages.check_pages}


def _checked(data: bytes, sound: SoundData) -> bytes:
    present = len(data) - sound.start
    if sound.size is None or sound.size >= PIPED or (sound.size <= 0 < present and not _may_follow(data, sound, 0)):
        return _with_size(data, sound, present)
    if sound.size > present:
        there = max(present, 0)
        detail = f"{there} bytes of sound, where the header says {sound.size}"
        raise BadClip("truncated", detail, (there, sound.size))
    end = sound.start + sound.size
    if data[end : end + 4] in sound.again or data[end + 1 : end + 5] in sound.again:
        raise BadClip("joined", f"another recording begins at byte {end}")
    if not _may_follow(data, sound, sound.size):
        raise BadClip(
            "truncated", f"the header says {sound.size} bytes of sound, and {present - sound.size} more follow"
        )
    return data[:end] if sound.read_on else data


def _may_follow(data: bytes, sound: SoundData, size: int) -> bool:
    """Whether what comes after `size` bytes of sound is none: chunks to the end of the file, tags, zeros or little."""
    end = sound.start + size
    rest = len(data) - end
    if rest <= sound.bytes_per_second * REST_SECONDS and (size or rest <= 1):
        return True
    at = end + -size % sound.chunks.alignment if sound.chunks else end
    while sound.chunks and at < len(data):
        name, length = sound.chunks.header(data, at)
        if not name.isascii() or not name[:4].decode("ascii").isprintable() or length < 0:
            break
        if at + length > len(data):
            return data.startswith(TAGS, at)
        at += length + -length % sound.chunks.alignment
    if at >= len(data) or (size and len(data) - at <= REST_BYTES):
        return True
    return data.startswith(TAGS, at) or (size > 0 and data.count(0, at) == len(data) - at)


def _with_size(data: bytes, sound: SoundData, size: int) -> bytes:
    for field in sound.fields:
        data = data[: field.place] + field.encoded(size) + data[field.place + field.width :]
    return data
