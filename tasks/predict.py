"""A classifier's bundle and features to predictions: for each sequence the label, how sure, and the nats of the truth.

As for transcripts, Ray Data runs a pool of actors that load the bundle once, one part is written for each feature
shard, and a part that an earlier, killed run finished is not made again.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from infra.problem import Problem
from infra.settings import settings
from infra.store import Artifact, Draft, open_draft
from models.interface import Classifier
from tasks.augment import Augment
from tasks.batches import Utterances, ahead
from tasks.bundle import Bundle, load_bundle, replay
from tasks.decode import part_name
from tasks.features import Normaliser
from tasks.featurize import index_of
from tasks.parallel import Job, run_jobs
from tasks.plan import Batching, cut
from tasks.step import step
from tasks.tables import from_parquet, table_of, to_parquet

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

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def predict(bundle: Artifact, features: Artifact, predicting: Predicting) -> Artifact:
    """Predictions of one split."""
    replay(bundle)
    out = open_draft("predictions", predict.key(bundle, features, predicting)[:32])
    shards = sorted(set(index_of(features, predicting.split)["shard"].to_pylist()))
    done = out.finished()
    jobs: list[Job] = [{"shard": shard} for shard in shards if part_name(shard) not in done]
    actors = max(1, min(int(settings().cores), len(jobs)))
    arguments = (bundle, features, predicting, out)
    for _ in run_jobs(ShardPredictor, jobs, f"predict {predicting.split}", actors, arguments):
        pass
    return out.commit(part_name(shard) for shard in shards)


class ShardPredictor:
    """An actor: the bundle in memory, one feature shard a call."""

    def __init__(self, bundle: Artifact, features: Artifact, predicting: Predicting, out: Draft) -> None:
        torch.set_num_threads(1)  # an actor has one core
        self.bundle, self.predicting, self.out = load_bundle(bundle), predicting, out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bundle.model.to(self.device)
        self.features, self.index = features, index_of(features, predicting.split)

    def __call__(self, job: Job) -> Job:
        table = self.index.filter(pa.array([shard == job["shard"] for shard in self.index["shard"].to_pylist()]))
        normaliser = self.bundle.normaliser if self.bundle.sound else Normaliser("none")
        sequences = Utterances(self.features, table, normaliser, Augment(), 0)
        rows = predictions_of(self.bundle, sequences, self.predicting.batching, self.device)
        self.out.put(part_name(job["shard"]), to_parquet(table_of(rows, PREDICTIONS)))
        return {"sequences": len(rows)}


@torch.inference_mode()
def predictions_of(
    bundle: Bundle, sequences: Utterances, batching: Batching, device: torch.device
) -> list[dict[str, Any]]:
    """A row of PREDICTIONS for each sequence, in their order; read in batches of similar length."""
    model = bundle.model
    if not isinstance(model, Classifier):
        raise Problem("this bundle holds no classifier; give one that train_classifier made")
    found: dict[str, dict[str, Any]] = {}
    batches = cut(np.argsort(sequences.frames, kind="stable"), sequences.frames, batching)
    for prepared in ahead(sequences, batches, None):
        batch = prepared.to(device)
        assert batch.source is not None  # a classifier's batch
        log_probs = model.classify(batch.source).double()
        nats = -log_probs.gather(1, batch.target.data)[:, 0]
        best = log_probs.max(1)
        columns = (nats.tolist(), best.indices.tolist(), best.values.exp().tolist())
        for key, of_truth, label, confidence in zip(batch.keys, *columns, strict=True):
            said = {"label": bundle.tokenizer.decode([label]), "confidence": confidence}
            found[key] = said | {"nats": of_truth}
    rows = sequences.index.select(("key", "text", "speaker", "seconds", "source")).to_pylist()
    return [row | {"reference": row["text"]} | found[row["key"]] for row in rows]


def read_predictions(predictions: Artifact) -> list[dict[str, Any]]:
    """The rows of every part, ordered by key."""
    parts = [from_parquet(predictions.read(name)).to_pylist() for name in predictions.names(".parquet")]
    return sorted((row for part in parts for row in part), key=lambda row: row["key"])
