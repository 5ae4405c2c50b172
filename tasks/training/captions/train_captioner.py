"""Photos' annotation vectors and captions to a bundle that holds a captioner: the same loop, workers and resumption as
for speech.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.families.captioner import Captioner
from models.interface import Model
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.caption_dataset import CaptionDataset, caption_pairs
from tasks.bundles.model_bundle import PhotoConfig
from tasks.bundles.pretrained_model import source_normalizer
from tasks.features.backbone_weights import prepare_front_end
from tasks.features.front_end import fit_normalizer
from tasks.features.image_front_end import ImageFrontEnd
from tasks.ingest.shard_index import read_index
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import load_tokenizer
from tasks.training.captions.caption_dev_metrics import CaptionMetrics
from tasks.training.dev_metrics import check_metric
from tasks.training.finalize_training import finalize_training
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import check_patterns
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob


@dataclass(frozen=True, kw_only=True)
class CaptionTrainingConfig:
    """What is trained, and how. model: the Config of a file in models/ that is a `Captioner`. front_end: what its
    annotation vectors are made with. init_from: the bundle that it begins with, whose network it has.
    """

    model: Any
    front_end: ImageFrontEnd
    batching: BatchingConfig
    fit: FitConfig
    init_from: Artifact | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        with torch.device("meta"):
            model: Model = self.model.build(self.front_end.annotation_size, 8)
        if not isinstance(model, Captioner):
            raise ValueError(f"model: {type(model).__name__} is no captioner")
        check_patterns(model, self.fit)


@step
def train_captioner(
    features: Artifact, tokenizer: Artifact, training: CaptionTrainingConfig, workers: Workers
) -> Artifact:
    key, front_end = train_captioner.key(features, tokenizer, training, workers), prepare_front_end(training.front_end)
    job = prepare_captioner(open_draft("training", key[:32]), features, tokenizer, training)
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching")}
    sight = PhotoConfig(front_end, job.dev.normalizer)
    return finalize_training(key, job, workers, {"features": features.digest} | configs, sight)


def prepare_captioner(
    draft: Draft, features: Artifact, tokenizer: Artifact, training: CaptionTrainingConfig
) -> TrainJob:
    """The job. Raises UserError where there is nothing to train on, or nothing to choose the best weights by."""
    rows, dev = (caption_pairs(read_index(features, split)) for split in ("train", "dev"))
    for split, index in (("training", rows), ("dev", dev)):
        if not len(index):
            raise UserError(f"{features}: the {split} split is empty")
    normalizer = source_normalizer(training.init_from) or fit_normalizer(features.read_json("statistics.json"))
    return TrainJob(
        draft=draft,
        model=training.model,
        sizes=(training.front_end.annotation_size, len(load_tokenizer(tokenizer))),
        tokenizer=tokenizer,
        train=CaptionDataset(features, rows, normalizer),
        dev=CaptionDataset(features, dev, normalizer),
        batching=training.batching,
        fit=training.fit,
        measure=check_metric(CaptionMetrics(), training.fit),
        init_from=training.init_from,
    )
