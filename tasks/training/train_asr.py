"""Features to a bundle that holds a recognizer: what is checked before the first step."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.interface import EmissionModel
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import AudioConfig
from tasks.bundles.pretrained_model import source_normalizer
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.utterance import QUARANTINE
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd, fit_cmvn
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_io import to_parquet
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import load_tokenizer
from tasks.training.dev_metrics import TranscriptionMetrics, check_metric
from tasks.training.finalize_training import finalize_training
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What is trained, and how. model: the Config of a file in models/. adapt: how the model is to be used, which its
    bundle remembers. init_from: the bundle that it begins with, whose front end, normalizer and network it has.
    """

    model: Any
    front_end: FrontEnd
    augment: AugmentConfig
    batching: BatchingConfig
    fit: FitConfig
    adapt: AdaptationConfig = AdaptationConfig()
    init_from: Artifact | None = None


@step
def train_asr(features: Artifact, tokenizer: Artifact, training: TrainingConfig, workers: Workers) -> Artifact:
    key = train_asr.key(features, tokenizer, training, workers)
    job, rejects = prepare_asr(open_draft("training", key[:32]), features, tokenizer, training)
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching", "augment", "adapt")}
    told, sound = {"features": features.digest} | configs, AudioConfig(training.front_end, job.dev.normalizer)
    return finalize_training(key, job, workers, told, sound, to_parquet(rejects))


def prepare_asr(
    draft: Draft, features: Artifact, tokenizer: Artifact, training: TrainingConfig
) -> tuple[TrainJob, pa.Table]:
    """The job, and the training utterances that are too short for their transcripts. Raises UserError beyond budget."""
    statistics, fit = features.read_json("statistics.json"), training.fit
    if not statistics:
        raise UserError(f"{features}: the training split is empty")
    normalizer = source_normalizer(training.init_from) or fit_cmvn(statistics, training.front_end)
    sizes = (len(statistics["sum"]), len(load_tokenizer(tokenizer)))
    with torch.device("meta"):
        model = training.model.build(*sizes)
    rows, dev = read_index(features, "train"), read_index(features, "dev")
    if not len(dev):
        raise UserError(f"{features}: no dev utterances to choose the best weights by")
    rejects = QUARANTINE.empty_table()
    if isinstance(model, EmissionModel):
        steps = -(-rows["frames"].to_numpy() // model.reduction)
        short = rows["steps_needed"].to_numpy() > steps
        rejects, rows = too_short(rows.filter(pa.array(short)), steps[short]), rows.filter(pa.array(~short))
        if len(rejects) > fit.error_budget * len(short):
            raise UserError(
                f"split train: {len(rejects)} of {len(short)} utterances are too short for their transcripts at one "
                f"output step for {model.reduction} frames, over the budget of {fit.error_budget:.0%}; first "
                f"{rejects['source'][0]}; lower the model's reduction or features.hop_ms, or raise fit.error_budget"
            )
    if not len(rows):
        raise UserError(f"{features}: no training utterance is long enough for its transcript")
    heard = UtteranceDataset(features, rows, normalizer, training.augment, fit.seed, load_tokenizer(tokenizer))
    held_out = UtteranceDataset(features, dev, normalizer)
    data = {
        "train": heard,
        "dev": held_out,
        "batching": training.batching,
        "measure": check_metric(TranscriptionMetrics(), fit),
    }
    data |= {"tokenizer": tokenizer, "fit": fit, "init_from": training.init_from}
    return TrainJob(draft=draft, model=training.model, sizes=sizes, **data), rejects


def too_short(rows: pa.Table, steps: np.ndarray) -> pa.Table:
    reasons = [
        f"{needed} output steps needed, {there} there"
        for needed, there in zip(rows["steps_needed"].to_pylist(), steps.tolist(), strict=True)
    ]
    columns = {"stage": "training", "reason": "too short for its transcript", "sha256": ""}
    constant = {name: [value] * len(rows) for name, value in columns.items()}
    table = {"source": rows["source"], "split": rows["split"], "detail": reasons, **constant}
    return pa.table({name: pa.chunked_array([list(map(str, table[name]))], pa.string()) for name in QUARANTINE.names})
