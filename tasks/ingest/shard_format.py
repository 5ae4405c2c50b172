"""Shards: WebDataset tars with the clips' original bytes, the same bytes for the same samples, and their index.

A sample is two members, `<key>.<extension>` (the clip) and `<key>.json` (text, speaker, ...), in webdataset's order.
The index says where in the tar the two lie, so that one range read brings a sample; webdataset streams whole tars.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
        ("flag", pa.string()),  # what is unusual about the row (tasks/ingest/speaking_rate.py); earlier indexes lack it
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


def write_sample(shard: tar.SampleWriter, sample: Sample) -> tuple[int, int]:
    """The sample at the end of a shard; offset and size of its region."""
    known = {name: getattr(sample, name) for name in KNOWN}
    return shard.write(sample.key, {sample.extension: sample.data, "json": canonical_json(known).encode()})


def read_sample(region: bytes) -> Sample:
    """The sample in a region of a shard, as the index gives it. Raises ValueError for any other bytes."""
    try:
        content, known = sorted(tar.members(io.BytesIO(region)), key=lambda member: member[0].endswith(".json"))
    except (tarfile.TarError, ValueError) as error:
        raise ValueError(f"not the region of a sample: {error}") from error
    key, _, extension = content[0].partition(".")
    return Sample(key=key, extension=extension, data=content[1], **json.loads(known[1]))


def read_shard(path: Path) -> Iterator[Sample]:
    """All samples of a shard in their order, streamed by webdataset, one in memory at a time."""
    for found in streamed(path):
        known = json.loads(found.pop("json"))
        (extension, data), *_ = ((name, value) for name, value in found.items() if not name.startswith("__"))
        yield Sample(key=found["__key__"], extension=extension, data=data, **known)


def streamed(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of a tar as webdataset gives them: `__key__`, and each member's bytes by its extension."""
    from webdataset import tariterators  # it brings torch, a second that only a reader of whole tars need wait for

    with path.open("rb") as file:
        yield from tariterators.group_by_keys(tariterators.tar_file_expander([{"url": str(path), "stream": file}]))
