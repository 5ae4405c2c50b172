"""Shards to feature shards: for each utterance `<key>.npy` (float16 frames) and `<key>.tokens.npy` (int32 ids).

`index.parquet` says where each utterance lies and how long it is, `statistics.json` holds the sums of the training
split that a normalizer is made of, `quarantine.parquet` the utterances that have no usable text. Of texts, `<key>.npy`
holds the source's tokens (int32), there are as many `frames` as tokens, and there are no sums.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.criteria.ctc import min_input_length
from models.interface import Padded
from tasks.audio.audio_io import decode_clip
from tasks.features.feature_shards import (
    UNKNOWN_LABEL,
    FeatureSums,
    finish_shard,
    merge_parts,
    reject_row,
    statistics_name,
    to_npy,
)
from tasks.features.front_end import FrontEnd, extract_frames, given_frames
from tasks.ingest import tar
from tasks.ingest.shard_format import TEXT, Sample, read_shard
from tasks.steps.parquet_io import to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.normalization import characters_outside, normalize_text
from tasks.text.tokenizer import LabelVocabulary, TextTokenizer, load_source_tokenizer, load_tokenizer

INDEX = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "shard": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "frames": pa.int32(),
        "tokens": pa.int32(),
        "steps_needed": pa.int32(),  # tokens, and a blank between equal neighbors: what CTC needs
        "seconds": pa.float64(),
        "speaker": pa.string(),
        "text": pa.string(),  # normalized, or a label: what the model learns and is measured by
        "source": pa.string(),
    }
)


@step
def extract_features(
    shards: Artifact, tokenizer: Artifact, front_end: FrontEnd | None, error_budget: float
) -> Artifact:
    """Features and token ids of every split of `shards`. An earlier run's finished shards are kept.

    front_end: of clips; None for texts, whose tokenizer lies beside that of their labels. Raises UserError where more
    than `error_budget` of a split has no usable text or label.
    """
    out = open_draft("features", extract_features.key(shards, tokenizer, front_end, error_budget)[:32])
    done = out.finished()
    told = {"shards": shards.digest, "kind": tokenizer.kind, "tokenizer": tokenizer.digest, "out": out.uri}
    told |= {"front_end": json.dumps(front_end and asdict(front_end))}
    jobs: list[Job] = [{"shard": name, **told} for name in shards.names(".tar") if statistics_name(name) not in done]
    for _ in run_jobs(extract_shard_features, jobs, "features"):
        pass
    return merge_parts(out, shards.names(".tar"), INDEX, error_budget)


def extract_shard_features(job: Job) -> Job:
    """One shard, and how many utterances it has."""
    shards, tokenizer = Artifact("shards", job["shards"]), Artifact(job["kind"], job["tokenizer"])
    tokens, source_of = load_tokenizer(tokenizer), _reader(job, tokenizer)
    out, name = Draft("features", job["out"]), job["shard"]
    index = pq.read_table(shards.file("index.parquet"), filters=[("shard", "==", name)]).to_pylist()
    rows = {row["key"]: row for row in index}
    kept: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    sums = FeatureSums()
    with out.writing(name) as file, tar.SampleWriter(file) as target:
        for sample in read_shard(shards.file(name)):
            if not (row := rows.get(sample.key)):  # the same clip is elsewhere in the corpus
                continue
            text = normalize_text(row["text"], tokens.text)
            if reason := unusable_text(text, row, tokens):
                rejects.append(reject_row(row, *reason))
                continue
            frames = _stored(source_of(sample))
            if not len(frames):
                rejects.append(reject_row(row, "empty text", "nothing is left after text normalization"))
                continue
            kept.append(_append(target, row, text, frames, tokens.encode(text)))
            if row["split"] == "train" and frames.ndim > 1:
                sums.add(frames)
    finish_shard(out, name, to_table(kept, INDEX), rejects, sums)
    return {"utterances": len(kept)}


def unusable_text(text: str, row: dict[str, Any], tokens: TextTokenizer) -> tuple[str, str] | None:
    """Why a model cannot learn from a row with this text: reason and detail."""
    if not text and row["text"].strip():  # of silence nothing was written
        return "empty transcript", "nothing is left after text normalization"
    foreign = characters_outside(text, tokens.text)
    if foreign and row["split"] == "train":  # elsewhere it stays and counts as an error of the model
        return "characters outside the alphabet", foreign
    if isinstance(tokens, LabelVocabulary) and text not in tokens:
        return UNKNOWN_LABEL, text
    return None


def _reader(job: Job, tokenizer: Artifact) -> Callable[[Sample], np.ndarray]:
    """What makes of a sample its frames (T, D), or its tokens (T,) int32."""
    if told := json.loads(job["front_end"]):
        front_end = FrontEnd(**told)
        return lambda sample: clip_frames(sample, front_end)
    spelling = load_source_tokenizer(tokenizer)
    assert spelling is not None  # fitted with the labels, which found only texts
    return lambda sample: np.asarray(spelling.encode(sample.data.decode()), np.int32)


def clip_frames(sample: Sample, front_end: FrontEnd) -> np.ndarray:
    return sound_frames(sample, *decode_sound(sample), front_end)


def decode_sound(sample: Sample) -> tuple[np.ndarray, int]:
    """Samples, or cepstra, and their rate. Raises UserError for a text."""
    if sample.extension == TEXT:
        raise UserError("this corpus has texts, and the recipe or model reads sound; choose one that reads text")
    return decode_clip(sample.data, sample.extension)


def sound_frames(sample: Sample, content: np.ndarray, rate: int, front_end: FrontEnd) -> np.ndarray:
    """The frames (T, D) float32 of a decoded sample. Raises UserError for one that the front end is not for."""
    if sample.extension != "mfc":
        return extract_frames(content, rate, front_end)
    if front_end.kind != "given":
        raise UserError(f"features.kind={front_end.kind} needs waveforms; this corpus has cepstra: use kind=given")
    return given_frames(content, front_end)


def _stored(frames: np.ndarray) -> np.ndarray:
    """Frames as they are kept, of which the statistics are made as well."""
    return frames if frames.dtype == np.int32 else frames.astype(np.float16)


def _append(
    shard: tar.SampleWriter, row: dict[str, Any], text: str, frames: np.ndarray, ids: list[int]
) -> dict[str, Any]:
    arrays = {"npy": frames, "tokens.npy": np.asarray(ids, np.int32)}
    offset, size = shard.write(row["key"], {name: to_npy(array) for name, array in arrays.items()})
    same = {name: row[name] for name in ("key", "split", "shard", "seconds", "speaker", "source")}
    return same | {
        "offset": offset,
        "size": size,
        "frames": len(frames),
        "tokens": len(ids),
        "steps_needed": int(min_input_length(Padded.stack([torch.tensor(ids, dtype=torch.long)]))),
        "text": text,
    }
