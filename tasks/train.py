"""Features to a bundle that holds a recogniser: what is checked before the first step."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from infra.problem import Problem
from infra.store import Artifact, Draft, open_draft
from models.interface import Emitter
from tasks.adapt import Adaptation
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import Sound
from tasks.features import FrontEnd, normaliser_of
from tasks.featurize import index_of
from tasks.loop import Job
from tasks.measures import Transcription, checked
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.step import step
from tasks.tables import QUARANTINE, to_parquet
from tasks.tokenizer import load_tokenizer
from tasks.trained import trained
from tasks.training_run import Workers


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, and how. model: the Config of a file in models/. adapt: how the model is to be used, which its
    bundle remembers.
    """

    model: Any
    front_end: FrontEnd
    augment: Augment
    batching: Batching
    fit: Fit
    adapt: Adaptation = Adaptation()


@step
def train(features: Artifact, tokenizer: Artifact, training: Training, workers: Workers) -> Artifact:
    key = train.key(features, tokenizer, training, workers)
    job, rejects = prepare(open_draft("training", key[:32]), features, tokenizer, training)
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching", "augment", "adapt")}
    told, sound = {"features": features.digest} | configs, Sound(training.front_end, job.dev.normaliser)
    return trained(key, job, workers, told, sound, to_parquet(rejects))


def prepare(draft: Draft, features: Artifact, tokenizer: Artifact, training: Training) -> tuple[Job, pa.Table]:
    """The job, and the training utterances that are too short for their transcripts. Raises Problem beyond budget."""
    statistics, fit = features.read_json("statistics.json"), training.fit
    if not statistics:
        raise Problem(f"{features}: the training split is empty")
    normaliser = normaliser_of(statistics, training.front_end)
    sizes = (len(statistics["sum"]), len(load_tokenizer(tokenizer)))
    with torch.device("meta"):
        model = training.model.build(*sizes)
    rows, dev = index_of(features, "train"), index_of(features, "dev")
    if not len(dev):
        raise Problem(f"{features}: no dev utterances to choose the best weights by")
    rejects = QUARANTINE.empty_table()
    if isinstance(model, Emitter):
        steps = -(-rows["frames"].to_numpy() // model.reduction)
        short = rows["steps_needed"].to_numpy() > steps
        rejects, rows = too_short(rows.filter(pa.array(short)), steps[short]), rows.filter(pa.array(~short))
        if len(rejects) > fit.error_budget * len(short):
            raise Problem(
                f"split train: {len(rejects)} of {len(short)} utterances are too short for their transcripts at one "
                f"output step for {model.reduction} frames, over the budget of {fit.error_budget:.0%}; first "
                f"{rejects['source'][0]}; lower the model's reduction or features.hop_ms, or raise fit.error_budget"
            )
    if not len(rows):
        raise Problem(f"{features}: no training utterance is long enough for its transcript")
    heard = Utterances(features, rows, normaliser, training.augment, fit.seed)
    held_out = Utterances(features, dev, normaliser)
    data = {"train": heard, "dev": held_out, "batching": training.batching, "measure": checked(Transcription(), fit)}
    return Job(draft=draft, model=training.model, sizes=sizes, tokenizer=tokenizer, fit=fit, **data), rejects


def too_short(rows: pa.Table, steps: np.ndarray) -> pa.Table:
    reasons = [
        f"{needed} output steps needed, {there} there"
        for needed, there in zip(rows["steps_needed"].to_pylist(), steps.tolist(), strict=True)
    ]
    columns = {"stage": "training", "reason": "too short for its transcript", "sha256": ""}
    constant = {name: [value] * len(rows) for name, value in columns.items()}
    table = {"source": rows["source"], "split": rows["split"], "detail": reasons, **constant}
    return pa.table({name: pa.chunked_array([list(map(str, table[name]))], pa.string()) for name in QUARANTINE.names})
