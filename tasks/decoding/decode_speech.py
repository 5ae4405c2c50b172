"""A bundle and features to transcripts: n-best with scores, token times and a confidence, as Parquet.

Ray Data runs a pool of actors that load the bundle once and write a part for each feature shard
(tasks/steps/parquet_parts.py).
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from models.interface import Beam, Hypothesis
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import Bundle, check_golden_outputs, load_in_actor
from tasks.bundles.speaker_adaptation import AdaptationConfig, Speakers, batches_by_speaker, speakers_to_adapt
from tasks.features.extract_features import list_shards, read_index
from tasks.steps.parquet_parts import write_part, write_parts
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job

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
class DecodingConfig:
    """How a split is decoded. architecture: the model's file in models/, whose code is part of the task's key."""

    beam: Beam
    architecture: str
    split: str
    batching: BatchingConfig
    adapt: AdaptationConfig = AdaptationConfig()

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def decode_speech(bundle: Artifact, features: Artifact, decoding: DecodingConfig) -> Artifact:
    """Transcripts of one split."""
    check_golden_outputs(bundle, decoding.beam)
    out, split = open_draft("transcripts", decode_speech.key(bundle, features, decoding)[:32]), decoding.split
    arguments = (bundle, features, decoding, out)
    return write_parts(out, list_shards(features, split), f"decode {split}", ShardDecoder, arguments)


class ShardDecoder:
    """An actor: the bundle in memory, one feature shard a call."""

    def __init__(self, bundle: Artifact, features: Artifact, decoding: DecodingConfig, out: Draft) -> None:
        self.bundle, self.device = load_in_actor(bundle)
        self.features, self.decoding, self.out = features, decoding, out
        data, normaliser = (features, decoding.split), self.bundle.normaliser
        self.speakers = speakers_to_adapt(decoding.adapt, self.bundle.model, data, normaliser)

    def __call__(self, job: Job) -> Job:
        index = read_index(self.features, self.decoding.split, job["shard"])
        utterances = UtteranceDataset(self.features, index, self.bundle.normaliser)
        rows = transcribe(self.bundle, utterances, self.decoding, self.device, self.speakers)
        write_part(self.out, job["shard"], rows, TRANSCRIPTS)
        return {"utterances": len(rows)}


@torch.inference_mode()
def transcribe(
    bundle: Bundle,
    utterances: UtteranceDataset,
    decoding: DecodingConfig,
    device: torch.device,
    speakers: Speakers | None = None,
) -> list[dict[str, Any]]:
    """A row of TRANSCRIPTS for each utterance, in their order; searched in batches of similar length."""
    step_seconds = bundle.front_end.hop_ms / 1000 * bundle.model.reduction
    found: dict[str, list[Hypothesis]] = {}
    for batch in batches_by_speaker(utterances, decoding.batching, speakers):
        hypotheses = bundle.model.search(batch.to(device).given, decoding.beam, bundle.lm)
        found |= zip(batch.keys, hypotheses, strict=True)
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
