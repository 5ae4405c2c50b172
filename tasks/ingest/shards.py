"""Shards: WebDataset tars with the clips' original bytes, the same bytes for the same samples, and their index.

A sample is two members, `<key>.<extension>` (the clip) and `<key>.json` (text, speaker, ...). The index says where in
the tar the two lie, so that one range read brings a sample; webdataset reads the tars as well.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa

from tasks.ingest import tar

TEXT = "txt"  # the extension of a sample that is not a clip but a text in UTF-8; it has no seconds and no sample rate

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


class Sample(NamedTuple):
    """One clip or text with what is known of it. extension: without a dot. text: the transcript, or the label. tags:
    age, gender, accent, ...
    """

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


canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # made once: thousands of calls a second
KNOWN = ("text", "speaker", "split", "seconds", "sample_rate", "source", "sha256", "tags")  # what the .json says


def write_sample(file: BinaryIO, sample: Sample) -> tuple[int, int]:
    """The sample at the end of an open shard; offset and size of its region. End the shard with tar.END."""
    start = file.tell()
    known = {name: getattr(sample, name) for name in KNOWN}
    told = canonical_json(known).encode()
    tar.append(file, {f"{sample.key}.{sample.extension}": sample.data, f"{sample.key}.json": told})
    return start, file.tell() - start


def read_sample(region: bytes) -> Sample:
    """The sample in a region of a shard, as the index gives it. Raises ValueError for any other bytes."""
    try:
        (name, data), (_, known) = tar.members(io.BytesIO(region))
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"not the region of a sample: {error}") from error
    return _sample(name, data, known)


def read_shard(path: Path) -> Iterator[Sample]:
    """All samples of a shard, one in memory at a time."""
    with path.open("rb") as file:
        members = tar.members(file)
        for (name, data), (_, known) in zip(members, members, strict=True):
            yield _sample(name, data, known)


def _sample(name: str, data: bytes, known: bytes) -> Sample:
    key, _, extension = name.partition(".")
    return Sample(key=key, extension=extension, data=data, **json.loads(known))
