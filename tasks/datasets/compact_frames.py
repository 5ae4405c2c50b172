"""Small shards of frames, as each release brings some, put together: training shuffles within a window of shards.

The rule: artifacts of less than SMALL_BYTES are put together GROUP at a time, the oldest first, so that a group once
made stays. The frames are the same bytes; where they lie, and so the order of an epoch, is another.
"""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, DraftResult, new_draft
from tasks.datasets.version_index import Row
from tasks.features.extract_clip_features import FINGERPRINTS, FRAMES_INDEX, KIND
from tasks.ingest.tar import SampleWriter, members
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step

SMALL_BYTES, GROUP = 64 << 20, 8
SHARD_BYTES = 64 << 20


def compact_small(frames: list[Artifact]) -> tuple[Artifact, ...]:
    """The artifacts of a version's frames, those that are small put together as far as they make whole groups."""
    small = [one for one in frames if _size(one) < SMALL_BYTES]
    whole = len(small) - len(small) % GROUP
    groups = [tuple(small[i : i + GROUP]) for i in range(0, whole, GROUP)]
    grouped = {one for group in groups for one in group}
    return (*map(compact_frames, groups), *(one for one in frames if one not in grouped))


def _size(frames: Artifact) -> int:
    return sum(entry["size"] for name, entry in frames.manifest()["files"].items() if name.endswith(".tar"))


@step
def compact_frames(frames: tuple[Artifact, ...]) -> Artifact:
    """One artifact of the frames of several."""
    index: list[Row] = []
    with TemporaryDirectory() as folder, new_draft(KIND) as out:
        shard = _Shard(Path(folder, "shard"), out)
        for one in frames:
            for name in one.names(".tar"):
                rows = pq.read_table(one.file("index.parquet"), filters=[("shard", "==", name)]).to_pylist()
                with one.file(name).open("rb") as file:
                    for row in rows:
                        file.seek(row["offset"])
                        index.append(row | shard.append(row["key"], file.read(row["size"])))
        shard.close()
        prints = [pq.read_table(one.file("fingerprints.parquet"), schema=FINGERPRINTS) for one in frames]
        out.put("index.parquet", to_parquet(to_table(index, FRAMES_INDEX)))
        out.put("fingerprints.parquet", to_parquet(pa.concat_tables(prints)))
    return out.result()


class _Shard:
    """Regions of samples one after the other, in shards of about SHARD_BYTES."""

    def __init__(self, place: Path, out: DraftResult) -> None:
        self.place, self.out, self.number = place, out, 0
        self._open()

    def append(self, key: str, region: bytes) -> Row:
        if self.tar.size > SHARD_BYTES:
            self.close()
            self.number += 1
            self._open()
        offset, size = self.tar.write(key, {"npy": _content(region)})
        return {"shard": f"frames-{self.number:05d}.tar", "offset": offset, "size": size}

    def close(self) -> None:
        self.tar.__exit__(None, None, None)
        self.file.close()
        self.out.put(f"frames-{self.number:05d}.tar", self.place)

    def _open(self) -> None:
        self.file = self.place.open("wb")
        self.tar = SampleWriter(self.file)


def _content(region: bytes) -> bytes:
    ((_, content),) = members(io.BytesIO(region))
    return content
