"""A classifier's bundle and features to predictions: for each sequence the label, how sure, and the nats of the truth.

As for transcripts, actors load the bundle once and write a part for each feature shard (tasks/steps/parquet_parts.py).
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.interface import Classifier
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import Bundle, check_golden_outputs, load_in_actor
from tasks.bundles.speaker_adaptation import AdaptationConfig, Speakers, batches_by_speaker, speakers_to_adapt
from tasks.features.extract_features import list_shards, read_index
from tasks.features.front_end import CMVN
from tasks.steps.parquet_parts import write_part, write_parts
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job

PREDICTIONS = pa.schema(
    {
        "key": pa.string(),
        "label": pa.string(),  # the most probable one
        "confidence": pa.float64(),  # its probability
        "reference": pa.string(),
        "nats": pa.float64(),  # -log of the probability of the reference
        "speaker": pa.string(),
        "seconds": pa.float64(),
        "source": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class PredictionConfig:
    """What is predicted. architecture: the model's file in models/, whose code is part of the task's key."""

    architecture: str
    split: str
    batching: BatchingConfig
    adapt: AdaptationConfig = AdaptationConfig()

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def predict_labels(bundle: Artifact, features: Artifact, predicting: PredictionConfig) -> Artifact:
    """Predictions of one split."""
    check_golden_outputs(bundle)
    out, split = open_draft("predictions", predict_labels.key(bundle, features, predicting)[:32]), predicting.split
    arguments = (bundle, features, predicting, out)
    return write_parts(out, list_shards(features, split), f"predict {split}", ShardPredictor, arguments)


class ShardPredictor:
    """An actor: the bundle in memory, one feature shard a call."""

    def __init__(self, bundle: Artifact, features: Artifact, predicting: PredictionConfig, out: Draft) -> None:
        self.bundle, self.device = load_in_actor(bundle)
        self.features, self.predicting, self.out = features, predicting, out
        self.normaliser = self.bundle.normaliser if self.bundle.sound else CMVN("none")
        data = (features, predicting.split)
        self.speakers = speakers_to_adapt(predicting.adapt, self.bundle.model, data, self.normaliser)

    def __call__(self, job: Job) -> Job:
        index = read_index(self.features, self.predicting.split, job["shard"])
        sequences = UtteranceDataset(self.features, index, self.normaliser)
        rows = predict_rows(self.bundle, sequences, self.predicting.batching, self.device, self.speakers)
        write_part(self.out, job["shard"], rows, PREDICTIONS)
        return {"sequences": len(rows)}


@torch.inference_mode()
def predict_rows(
    bundle: Bundle,
    sequences: UtteranceDataset,
    batching: BatchingConfig,
    device: torch.device,
    speakers: Speakers | None = None,
) -> list[dict[str, Any]]:
    """A row of PREDICTIONS for each sequence, in their order; read in batches of similar length."""
    model = bundle.model
    if not isinstance(model, Classifier):
        raise UserError("this bundle holds no classifier; give one that train_classifier made")
    found: dict[str, dict[str, Any]] = {}
    for prepared in batches_by_speaker(sequences, batching, speakers):
        batch = prepared.to(device)
        log_probs = model.classify(batch.given).double()
        nats = -log_probs.gather(1, batch.target.data)[:, 0]
        best = log_probs.max(1)
        columns = (nats.tolist(), best.indices.tolist(), best.values.exp().tolist())
        for key, of_truth, label, confidence in zip(batch.keys, *columns, strict=True):
            said = {"label": bundle.tokenizer.decode([label]), "confidence": confidence}
            found[key] = said | {"nats": of_truth}
    rows = sequences.index.select(("key", "text", "speaker", "seconds", "source")).to_pylist()
    return [row | {"reference": row["text"]} | found[row["key"]] for row in rows]
