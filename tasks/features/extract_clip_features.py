"""Shards to frames, without texts: for each clip `<key>.npy` (float16), made once and never again for another
transcript, tokenizer or split; and the clip's acoustic fingerprint, for which it is decoded anyway.

`index.parquet` says where the frames of each sample of the shards lie, how many there are, and their sums, which a
normalizer is made of; `fingerprints.parquet` has the landmarks (tasks/features/acoustic_fingerprint.py).
"""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from infra.artifact_store import Artifact, Draft, open_draft
from tasks.features.acoustic_fingerprint import fingerprint_clip
from tasks.features.extract_features import decode_sound, sound_frames
from tasks.features.feature_shards import to_npy
from tasks.features.front_end import FrontEnd
from tasks.ingest import tar
from tasks.ingest.shard_format import read_shard
from tasks.ingest.shard_index import read_shard_rows, shard_reference
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs

KIND = "frames"
SAMPLE = {"sample_shard": pa.string(), "sample_offset": pa.int64()}  # where the clip lies, as a reference
FRAMES_INDEX = pa.schema(
    {
        **SAMPLE,
        "key": pa.string(),
        "shard": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "frames": pa.int32(),
        "sum": pa.list_(pa.float64()),
        "squares": pa.list_(pa.float64()),
    }
)
FINGERPRINTS = pa.schema(
    {
        **SAMPLE,
        "hashes": pa.list_(pa.uint32()),
        "times": pa.list_(pa.int32()),
    }
)


@step
def extract_clip_features(shards: Artifact, front_end: FrontEnd) -> Artifact:
    """Frames and fingerprints of every clip of the shards. An earlier run's finished shards are kept."""
    out = open_draft(KIND, extract_clip_features.key(shards, front_end)[:32])
    done, names = out.finished(), shards.names(".tar")
    told = {"shards": shards.digest, "out": out.uri, "front_end": json.dumps(asdict(front_end))}
    jobs: list[Job] = [{"shard": name, **told} for name in names if _part(name, "fingerprints") not in done]
    for _ in run_jobs(extract_shard_frames, jobs, "features"):
        pass
    for table, schema in (("index", FRAMES_INDEX), ("fingerprints", FINGERPRINTS)):
        parts = [from_parquet(out.read(_part(name, table))) for name in names]
        out.put(f"{table}.parquet", to_parquet(pa.concat_tables(parts) if parts else schema.empty_table()))
    for name in out.finished():
        if name.startswith("parts/"):
            out.remove(name)
    return out.commit({*names, "index.parquet", "fingerprints.parquet"})


def _part(shard: str, table: str) -> str:
    return f"parts/{shard}.{table}.parquet"


def extract_shard_frames(job: Job) -> Job:
    """One shard: its frames, their index and the fingerprints, in this order, so that the last mark it as finished."""
    shards, out, name = Artifact("shards", job["shards"]), Draft(KIND, job["out"]), job["shard"]
    front_end = FrontEnd(**json.loads(job["front_end"]))
    rows = {row["key"]: row for row in read_shard_rows(shards, name)}
    index: list[dict[str, Any]] = []
    prints: list[dict[str, Any]] = []
    with out.writing(name) as file, tar.SampleWriter(file) as target:
        for sample in read_shard(shards.file(name)):
            if not (row := rows.get(sample.key)):  # the same clip is elsewhere in the corpus
                continue
            content, rate = decode_sound(sample)
            frames = sound_frames(sample, content, rate, front_end).astype(np.float16)
            offset, size = target.write(sample.key, {"npy": to_npy(frames)})
            exact = frames.astype(np.float64)
            place = {"sample_shard": shard_reference(shards, name), "sample_offset": row["offset"]}
            sums = {"sum": exact.sum(0).tolist(), "squares": (exact**2).sum(0).tolist()}
            told = {"key": sample.key, "shard": name, "offset": offset, "size": size, "frames": len(frames)}
            index.append(told | place | sums)
            hashes, times = fingerprint_clip(content, rate) if content.ndim == 1 else ([], [])
            prints.append(place | {"hashes": hashes, "times": times})
    out.put(_part(name, "index"), to_parquet(to_table(index, FRAMES_INDEX)))
    out.put(_part(name, "fingerprints"), to_parquet(to_table(prints, FINGERPRINTS)))
    return {"clips": len(index)}
