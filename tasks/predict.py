"""A classifier's bundle and features to predictions: for each sequence the label, how sure, and the nats of the truth.

As for transcripts, actors load the bundle once and write a part for each feature shard (tasks/parts.py).
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from infra.problem import Problem
from infra.store import Artifact, Draft, open_draft
from models.interface import Classifier
from tasks.adapt import Adaptation, Speakers, speakers_of, spoken
from tasks.batches import Utterances
from tasks.bundle import Bundle, load_in_actor, replay
from tasks.features import Normaliser
from tasks.featurize import index_of, shards_of
from tasks.parallel import Job
from tasks.parts import make_parts, put_part
from tasks.plan import Batching
from tasks.step import step

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
class Predicting:
    """What is predicted. architecture: the model's file in models/, whose code is part of the task's key."""

    architecture: str
    split: str
    batching: Batching
    adapt: Adaptation = Adaptation()

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def predict(bundle: Artifact, features: Artifact, predicting: Predicting) -> Artifact:
    """Predictions of one split."""
    replay(bundle)
    out, split = open_draft("predictions", predict.key(bundle, features, predicting)[:32]), predicting.split
    arguments = (bundle, features, predicting, out)
    return make_parts(out, shards_of(features, split), f"predict {split}", ShardPredictor, arguments)


class ShardPredictor:
    """An actor: the bundle in memory, one feature shard a call."""

    def __init__(self, bundle: Artifact, features: Artifact, predicting: Predicting, out: Draft) -> None:
        self.bundle, self.device = load_in_actor(bundle)
        self.features, self.predicting, self.out = features, predicting, out
        self.normaliser = self.bundle.normaliser if self.bundle.sound else Normaliser("none")
        data = (features, predicting.split)
        self.speakers = speakers_of(predicting.adapt, self.bundle.model, data, self.normaliser)

    def __call__(self, job: Job) -> Job:
        index = index_of(self.features, self.predicting.split, job["shard"])
        sequences = Utterances(self.features, index, self.normaliser)
        rows = predictions_of(self.bundle, sequences, self.predicting.batching, self.device, self.speakers)
        put_part(self.out, job["shard"], rows, PREDICTIONS)
        return {"sequences": len(rows)}


@torch.inference_mode()
def predictions_of(
    bundle: Bundle, sequences: Utterances, batching: Batching, device: torch.device, speakers: Speakers | None = None
) -> list[dict[str, Any]]:
    """A row of PREDICTIONS for each sequence, in their order; read in batches of similar length."""
    model = bundle.model
    if not isinstance(model, Classifier):
        raise Problem("this bundle holds no classifier; give one that train_classifier made")
    found: dict[str, dict[str, Any]] = {}
    for prepared in spoken(sequences, batching, speakers):
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
