"""The compact file of an n-gram model: mapped into memory as it lies, ready at once, shared by all who read it.

    "SCRNGRAM"  version (4)  bytes of the header (4)  CRC-32 of the header (4)  0 (4)
    header      JSON: tokens, counts (n-grams of each order), sections {name: [dtype, offset, items]}, size
    sections    from multiples of 64: keys-k, log10-k, backoff-k for every order k, and the tokens' spellings
    checksum    CRC-32 of all sections in order (4); read by `verify` only

Numbers are little-endian. An n-gram of the highest order takes 12 bytes, any other 16.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from infra.errors import UserError
from models.search.language.ngram_lm import Level, NGram

MAGIC, VERSION = b"SCRNGRAM", 1
PRELUDE = struct.Struct("<8sIIII")
ALIGNMENT = 64
COPIED = 1 << 20  # items at a time
SPELLINGS = "spellings"


class Arrays(NamedTuple):
    """The n-grams of one order: models/search/language/ngram_lm.py says what is in a Level."""

    keys: np.ndarray  # (n,) int64
    log10: np.ndarray  # (n,) float32
    backoff: np.ndarray  # (n,) float32; empty at the highest order


def build_model(levels: Sequence[Arrays]) -> NGram:
    """The model that reads these arrays where they are."""
    return NGram(tuple(Level(*(torch.from_numpy(array) for array in level)) for level in levels))


@dataclass(frozen=True)
class StoredNGram:
    """A model with how its tokens are written."""

    model: NGram
    spellings: tuple[str, ...]


def write_binary(path: Path, levels: Sequence[Arrays], spellings: Sequence[str]) -> None:
    written = np.frombuffer("\n".join(spellings).encode(), np.uint8)
    sections = [(f"{name}-{k}", getattr(level, name)) for k, level in enumerate(levels, 1) for name in Arrays._fields]
    sections.append((SPELLINGS, written))
    header = _header(levels, sections)
    text = json.dumps(header).encode()
    checksum = 0
    with path.open("wb") as file:
        file.write(PRELUDE.pack(MAGIC, VERSION, len(text), zlib.crc32(text), 0) + text)
        for name, array in sections:
            file.seek(header["sections"][name][1])
            for start in range(0, len(array), COPIED):
                data = np.ascontiguousarray(array[start : start + COPIED]).tobytes()
                checksum = zlib.crc32(data, checksum)
                file.write(data)
        file.write(struct.pack("<I", checksum))


def _header(levels: Sequence[Arrays], sections: Sequence[tuple[str, np.ndarray]]) -> dict[str, Any]:
    """Where everything lies. Offsets count from a place that holds a header of any such size."""
    counts = [len(level.keys) for level in levels]
    at = 4096 * (1 + len(sections) // 32)
    places: dict[str, list[Any]] = {}
    for name, array in sections:
        at += -at % ALIGNMENT
        places[name] = [array.dtype.str, at, len(array)]
        at += array.nbytes
    return {"tokens": counts[0], "counts": counts, "sections": places, "size": at + 4}


def load_ngram(path: Path) -> StoredNGram:
    """The model of a file, mapped. Raises UserError for a file that is not one, is cut off or is of another version."""
    header = _read_header(path)
    whole = np.memmap(path, np.uint8, "c")  # copy on write: the file stays as it is whatever is done to the tensors
    arrays = {}
    for name, (dtype, offset, items) in header["sections"].items():
        kind = np.dtype(dtype)
        arrays[name] = whole[offset : offset + items * kind.itemsize].view(kind)
    orders = range(1, len(header["counts"]) + 1)
    model = build_model([Arrays(*(arrays[f"{name}-{k}"] for name in Arrays._fields)) for k in orders])
    return StoredNGram(model, tuple(arrays[SPELLINGS].tobytes().decode().split("\n")))


def verify(path: Path) -> None:
    """Reads the whole file. Raises UserError where a byte is not what was written."""
    checksum = 0
    with path.open("rb") as file:
        for data in _sections(file, _read_header(path)):
            checksum = zlib.crc32(data, checksum)
        if file.read(4) != struct.pack("<I", checksum):
            raise UserError(f"{path}: damaged (its checksum differs); fetch it again or train the model again")


def _sections(file: Any, header: dict[str, Any]) -> Iterator[bytes]:
    for dtype, offset, items in header["sections"].values():
        file.seek(offset)
        left = items * np.dtype(dtype).itemsize
        while left:
            data = file.read(min(left, COPIED))
            left -= len(data)
            yield data


def _read_header(path: Path) -> dict[str, Any]:
    remedy = "fetch it again or train the model again"
    with path.open("rb") as file:
        prelude = file.read(PRELUDE.size)
        if prelude[: len(MAGIC)] != MAGIC:
            raise UserError(f"{path}: not an n-gram model (an ARPA file is read by tasks.ngram.arpa_file)")
        if len(prelude) < PRELUDE.size:
            raise UserError(f"{path}: cut off after {len(prelude)} bytes; {remedy}")
        _, version, length, checksum, _ = PRELUDE.unpack(prelude)
        if version != VERSION:
            raise UserError(
                f"{path}: an n-gram model of version {version}, this program reads {VERSION}; train it again"
            )
        text = file.read(length)
    if len(text) < length or zlib.crc32(text) != checksum:
        raise UserError(f"{path}: its header is damaged; {remedy}")
    header, size = json.loads(text), path.stat().st_size
    if size != header["size"]:
        raise UserError(f"{path}: {size} bytes of {header['size']}; {remedy}")
    return header
