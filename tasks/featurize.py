"""Shards to feature shards: for each utterance `<key>.npy` (float16 frames) and `<key>.tokens.npy` (int32 ids).

`index.parquet` says where each utterance lies and how long it is, `statistics.json` holds the sums of the training
split that a normaliser is made of, `quarantine.parquet` the utterances that have no usable text.
"""

import io
import json
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.problem import Problem
from infra.store import Artifact, Draft, open_draft
from tasks import tar
from tasks.audio import decode
from tasks.features import FrontEnd, extract
from tasks.parallel import Job, run_jobs
from tasks.step import step
from tasks.text import normalise, outside
from tasks.tokenizer import TextTokenizer, load_tokenizer

INDEX = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "shard": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "frames": pa.int32(),
        "tokens": pa.int32(),
        "steps_needed": pa.int32(),  # tokens, and a blank between equal neighbours: what CTC needs
        "seconds": pa.float64(),
        "speaker": pa.string(),
        "text": pa.string(),  # normalised: what the model learns and is measured by
        "source": pa.string(),
    }
)
QUARANTINE = pa.schema({n: pa.string() for n in ("source", "split", "sha256", "stage", "reason", "detail")})


@step
def featurize(shards: Artifact, tokenizer: Artifact, front_end: FrontEnd, error_budget: float) -> Artifact:
    """Features and token ids of every split of `shards`. An earlier run's finished shards are kept.

    Raises Problem where more than `error_budget` of a split has no usable text.
    """
    out = open_draft("features", featurize.key(shards, tokenizer, front_end, error_budget)[:32])
    done, config = out.finished(), json.dumps(asdict(front_end))
    jobs: list[Job] = [
        {"shard": name, "shards": shards.digest, "tokenizer": tokenizer.digest, "front_end": config, "out": out.uri}
        for name in shards.names(".tar")
        if statistics_name(name) not in done
    ]
    for _ in run_jobs(featurize_shard, jobs, "features"):
        pass
    return _merge(out, shards.names(".tar"), error_budget)


def featurize_shard(job: Job) -> Job:
    """One shard: its features, index, rejects and sums, in this order, so that the sums mark it as finished."""
    shards, tokens = Artifact("shards", job["shards"]), load_tokenizer(Artifact("tokenizer", job["tokenizer"]))
    front_end, out, name = FrontEnd(**json.loads(job["front_end"])), Draft("features", job["out"]), job["shard"]
    index = pq.read_table(shards.file("index.parquet"), filters=[("shard", "==", name)]).to_pylist()
    kept: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    sums: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, shards.file(name).open("rb") as source:
        local = Path(folder, name)
        with local.open("wb") as target:
            for row in index:
                text = normalise(row["text"], tokens.text)
                if reason := _unusable(text, row["split"], tokens):
                    rejects.append(_reject(row, *reason))
                    continue
                source.seek(row["offset"])
                frames = _frames(tar.members(source.read(row["size"])), row["extension"], front_end)
                kept.append(_append(target, row, text, frames, tokens.encode(text)))
                if row["split"] == "train":
                    _add(sums, frames)
            target.write(tar.END)
        out.put(name, local)
    out.put(f"parts/{name}.index.parquet", _parquet(kept, INDEX))
    out.put(f"parts/{name}.rejects.parquet", _parquet(rejects, QUARANTINE))
    out.put_json(statistics_name(name), {k: v if k == "frames" else v.tolist() for k, v in sums.items()})
    return {"utterances": len(kept)}


def statistics_name(shard: str) -> str:
    return f"parts/{shard}.statistics.json"


def tokens_and_steps(ids: list[int]) -> tuple[int, int]:
    """The number of tokens and of CTC steps they need at least."""
    return len(ids), len(ids) + sum(a == b for a, b in zip(ids, ids[1:], strict=False))


def _unusable(text: str, split: str, tokens: TextTokenizer) -> tuple[str, str] | None:
    if not text:
        return "empty transcript", "nothing is left after text normalisation"
    foreign = outside(text, tokens.text)
    if foreign and split == "train":  # elsewhere it stays and counts as an error of the model
        return "characters outside the alphabet", foreign
    return None


def _frames(sample: dict[str, bytes], extension: str, front_end: FrontEnd) -> np.ndarray:
    if extension == "mfc":
        if front_end.kind != "given":
            raise Problem(f"features.kind={front_end.kind} needs waveforms; this corpus has cepstra: use kind=given")
        return decode(sample[extension], extension)[0]
    return extract(*decode(sample[extension], extension), front_end)


def _append(file: Any, row: dict[str, Any], text: str, frames: np.ndarray, ids: list[int]) -> dict[str, Any]:
    offset = file.tell()
    tar.append(file, f"{row['key']}.npy", _npy(frames.astype(np.float16)))
    tar.append(file, f"{row['key']}.tokens.npy", _npy(np.asarray(ids, np.int32)))
    count, steps = tokens_and_steps(ids)
    same = {name: row[name] for name in ("key", "split", "shard", "seconds", "speaker", "source")}
    return same | {
        "offset": offset,
        "size": file.tell() - offset,
        "frames": len(frames),
        "tokens": count,
        "steps_needed": steps,
        "text": text,
    }


def _add(sums: dict[str, Any], frames: np.ndarray) -> None:
    exact = frames.astype(np.float64)
    for name, value in (("frames", len(exact)), ("sum", exact.sum(0)), ("squares", (exact**2).sum(0))):
        sums[name] = sums.get(name, 0) + value


def _reject(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    same = {name: row[name] for name in ("source", "split", "sha256")}
    return same | {"stage": "features", "reason": reason, "detail": detail}


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer)
    return buffer.getvalue()


def _merge(out: Draft, shards: list[str], error_budget: float) -> Artifact:
    """One index, one quarantine and one set of sums from those of the shards."""
    tables: dict[str, pa.Table] = {}
    for table, schema in (("index", INDEX), ("quarantine", QUARANTINE)):
        part = "rejects" if table == "quarantine" else table
        parts = [pq.read_table(io.BytesIO(out.read(f"parts/{name}.{part}.parquet"))) for name in shards]
        tables[table] = pa.concat_tables(parts) if parts else schema.empty_table()
        buffer = io.BytesIO()
        pq.write_table(tables[table], buffer)
        out.put(f"{table}.parquet", buffer.getvalue())
    _charge(tables["index"], tables["quarantine"], error_budget)
    sums: dict[str, Any] = {}
    for name in shards:
        for key, value in json.loads(out.read(statistics_name(name))).items():
            sums[key] = sums.get(key, 0) + (value if key == "frames" else np.asarray(value))
    out.put_json("statistics.json", {k: v if k == "frames" else v.tolist() for k, v in sums.items()})
    for name in out.finished():
        if name.startswith("parts/"):
            out.remove(name)
    return out.commit({*shards, "index.parquet", "quarantine.parquet", "statistics.json"})


def _charge(index: pa.Table, quarantine: pa.Table, error_budget: float) -> None:
    kept, rejected = (Counter(table["split"].to_pylist()) for table in (index, quarantine))
    for split, count in rejected.items():
        if count > error_budget * (count + kept[split]):
            first = quarantine.filter(pa.array([s == split for s in quarantine["split"].to_pylist()])).to_pylist()[0]
            raise Problem(
                f"split {split}: {count} of {count + kept[split]} transcripts cannot be used (first {first['source']}: "
                f"{first['reason']}, {first['detail']}), the budget is {error_budget:.0%}; see tokens.text, or raise "
                "--set ingest.error_budget"
            )


def index_of(features: Artifact, split: str) -> pa.Table:
    """The rows of one split, in the order of the shards."""
    return pq.read_table(features.file("index.parquet"), filters=[("split", "==", split)])
