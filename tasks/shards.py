"""Shards: WebDataset tars with the clips' original bytes, the same bytes for the same samples, and their index.

A sample is two members, `<key>.<extension>` (the clip) and `<key>.json` (text, speaker, ...). The index says where in
the tar the two lie, so that one range read brings a sample; webdataset reads the tars as well.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

BLOCK = 512
END = bytes(2 * BLOCK)

INDEX = pa.schema(
    [
        ("key", pa.string()),
        ("split", pa.string()),
        ("shard", pa.string()),  # a file of the artifact
        ("offset", pa.int64()),  # of the sample's region in it
        ("size", pa.int64()),
        ("seconds", pa.float64()),
        ("sample_rate", pa.int32()),  # of cepstra: frames a second
        ("extension", pa.string()),
        ("sha256", pa.string()),
        ("speaker", pa.string()),
        ("text", pa.string()),
        ("source", pa.string()),
        ("tags", pa.string()),  # a JSON object
    ]
)
QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "split", "sha256", "stage", "reason", "detail")])


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip with what is known of it. extension: without a dot. tags: age, gender, accent, ..."""

    key: str
    extension: str
    data: bytes
    text: str
    speaker: str
    split: str
    seconds: float
    sample_rate: int
    source: str
    sha256: str
    tags: dict[str, str]


class ShardWriter:
    """Samples into an open file as USTAR, with no time, owner or other trace of this run in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def add(self, sample: Sample) -> tuple[int, int]:
        """Offset and size of the sample's region."""
        start = self.file.tell()
        known = asdict(sample)
        for name in ("key", "extension", "data"):
            del known[name]
        self._member(f"{sample.key}.{sample.extension}", sample.data)
        self._member(f"{sample.key}.json", json.dumps(known, sort_keys=True, ensure_ascii=False).encode())
        return start, self.file.tell() - start

    def close(self) -> None:
        """Write the end of the archive; the file stays open."""
        self.file.write(END)

    def _member(self, name: str, data: bytes) -> None:
        header = tarfile.TarInfo(name)
        header.size = len(data)
        self.file.write(header.tobuf(tarfile.USTAR_FORMAT))
        self.file.write(data)
        self.file.write(bytes(-len(data) % BLOCK))


def read_sample(region: bytes) -> Sample:
    """The sample in a region of a shard, as the index gives it. Raises ValueError for any other bytes."""
    (name, data), (_, known) = _members(region)
    key, _, extension = name.rpartition(".")
    return Sample(key=key, extension=extension, data=data, **_json(known))


def samples(path: Path) -> Iterator[Sample]:
    """All samples of a shard, one in memory at a time."""
    with path.open("rb") as file:
        while True:
            first = _next(file)
            if first is None:
                return
            second = _next(file)
            if second is None:
                raise ValueError(f"{path}: the last sample is not whole")
            key, _, extension = first[0].rpartition(".")
            yield Sample(key=key, extension=extension, data=first[1], **_json(second[1]))


def _members(region: bytes) -> list[tuple[str, bytes]]:
    found, at = [], 0
    while at + BLOCK <= len(region) and len(found) < 2:
        name, size = _header(region[at : at + BLOCK])
        found.append((name, region[at + BLOCK : at + BLOCK + size]))
        at += BLOCK + size + -size % BLOCK
    if len(found) != 2 or at != len(region):
        raise ValueError("not the region of a sample: the index belongs to another shard")
    return found


def _next(file: BinaryIO) -> tuple[str, bytes] | None:
    header = file.read(BLOCK)
    if not header.strip(b"\0"):
        return None
    name, size = _header(header)
    data = file.read(size + -size % BLOCK)
    return name, data[:size]


def _header(header: bytes) -> tuple[str, int]:
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise ValueError(f"not a header of a shard: {error}") from error
    return found.name, found.size


def _json(data: bytes) -> dict[str, Any]:
    return json.loads(data)
