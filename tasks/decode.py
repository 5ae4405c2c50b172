"""A bundle and features to transcripts: n-best with scores, token times and a confidence, as Parquet.

Ray Data runs a pool of actors that load the bundle once. One part is written for each feature shard, and a part that
an earlier, killed run finished is not made again.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from infra.settings import settings
from infra.store import Artifact, Draft, open_draft
from models.interface import Beam, Hypothesis
from tasks.augment import Augment
from tasks.batches import Utterances, ahead
from tasks.bundle import Bundle, load_bundle, replay
from tasks.featurize import index_of
from tasks.parallel import Job, run_jobs
from tasks.plan import Batching, cut
from tasks.step import step
from tasks.tables import table_of, to_parquet

TOKEN = pa.struct({"id": pa.int32(), "text": pa.string(), "begin_seconds": pa.float32(), "end_seconds": pa.float32()})
HYPOTHESIS = pa.struct(
    {"text": pa.string(), "score": pa.float64(), "confidence": pa.float32(), "tokens": pa.list_(TOKEN)}
)
TRANSCRIPTS = pa.schema(
    {
        "key": pa.string(),
        "text": pa.string(),  # of the best hypothesis
        "score": pa.float64(),
        "confidence": pa.float32(),
        "hypotheses": pa.list_(HYPOTHESIS),  # best first
        "reference": pa.string(),
        "speaker": pa.string(),
        "seconds": pa.float64(),
        "source": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How a split is decoded. architecture: the model's file in models/, whose code is part of the task's key."""

    beam: Beam
    architecture: str
    split: str
    batching: Batching

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def decode(bundle: Artifact, features: Artifact, decoding: Decoding) -> Artifact:
    """Transcripts of one split."""
    replay(bundle, decoding.beam)
    out = open_draft("transcripts", decode.key(bundle, features, decoding)[:32])
    shards = sorted(set(index_of(features, decoding.split)["shard"].to_pylist()))
    done = out.finished()
    jobs: list[Job] = [{"shard": shard} for shard in shards if part_name(shard) not in done]
    actors = max(1, min(int(settings().cores), len(jobs)))
    for _ in run_jobs(ShardDecoder, jobs, f"decode {decoding.split}", actors, (bundle, features, decoding, out)):
        pass
    return out.commit(part_name(shard) for shard in shards)


def part_name(shard: str) -> str:
    return f"{shard.removesuffix('.tar')}.parquet"


class ShardDecoder:
    """An actor: the bundle in memory, one feature shard a call."""

    def __init__(self, bundle: Artifact, features: Artifact, decoding: Decoding, out: Draft) -> None:
        torch.set_num_threads(1)  # an actor has one core
        self.bundle, self.decoding, self.out = load_bundle(bundle), decoding, out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bundle.model.to(self.device)
        self.features, self.index = features, index_of(features, decoding.split)

    def __call__(self, job: Job) -> Job:
        table = self.index.filter(pa.array([shard == job["shard"] for shard in self.index["shard"].to_pylist()]))
        utterances = Utterances(self.features, table, self.bundle.normaliser, Augment(), 0)
        rows = transcribe(self.bundle, utterances, self.decoding, self.device)
        self.out.put(part_name(job["shard"]), to_parquet(table_of(rows, TRANSCRIPTS)))
        return {"utterances": len(rows)}


@torch.inference_mode()
def transcribe(
    bundle: Bundle, utterances: Utterances, decoding: Decoding, device: torch.device
) -> list[dict[str, Any]]:
    """A row of TRANSCRIPTS for each utterance, in their order; searched in batches of similar length."""
    step_seconds = bundle.front_end.hop_ms / 1000 * bundle.model.reduction
    batches = cut(np.argsort(utterances.frames, kind="stable"), utterances.frames, decoding.batching)
    found: dict[str, list[Hypothesis]] = {}
    for batch in ahead(utterances, batches, None):
        source = batch.to(device).source
        assert source is not None  # an acoustic model's batch
        found |= zip(batch.keys, bundle.model.search(source, decoding.beam, bundle.lm), strict=True)
    columns = ("key", "text", "speaker", "seconds", "source")
    rows = utterances.index.select(columns).to_pylist()
    return [_row(row, [_hypothesis(h, bundle, step_seconds) for h in found[row["key"]]]) for row in rows]


def _row(row: dict[str, Any], hypotheses: list[dict[str, Any]]) -> dict[str, Any]:
    best = {name: hypotheses[0][name] for name in ("text", "score", "confidence")}
    return row | {"reference": row["text"]} | best | {"hypotheses": hypotheses}


def _hypothesis(found: Hypothesis, bundle: Bundle, step_seconds: float) -> dict[str, Any]:
    tokens = [
        {
            "id": token,
            "text": bundle.tokenizer.decode([token]),
            "begin_seconds": begin * step_seconds,
            "end_seconds": end * step_seconds,
        }
        for token, (begin, end) in zip(found.tokens, found.spans, strict=False)
    ]
    text = " ".join(bundle.tokenizer.decode(found.tokens).split())
    return {"text": text, "score": found.score, "confidence": found.confidence, "tokens": tokens}


def read_transcripts(transcripts: Artifact) -> pa.Table:
    """Every part, ordered by key."""
    parts = [pq.read_table(transcripts.file(name)) for name in transcripts.names(".parquet")]
    return (pa.concat_tables(parts) if parts else TRANSCRIPTS.empty_table()).sort_by("key")
