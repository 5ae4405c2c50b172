"""Photos' annotation vectors and captions to a bundle that holds a captioner: the same loop, workers and resumption as
for speech. Where the backbone learns too, the photos themselves (tasks/training/captions/end_to_end_training.py).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.families.captioner import Captioner
from models.families.end_to_end_captioner import EndToEndCaptioner
from models.interface import Model
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.caption_dataset import CaptionDataset, caption_pairs
from tasks.batches.photo_dataset import PhotoDataset
from tasks.bundles.model_bundle import PhotoConfig
from tasks.bundles.pretrained_model import source_normalizer
from tasks.features.backbone_weights import empty_backbone, prepare_front_end
from tasks.features.front_end import fit_normalizer
from tasks.features.image_front_end import ImageFrontEnd
from tasks.ingest.shard_index import read_index
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import load_tokenizer
from tasks.training.captions.caption_dev_metrics import CaptionMetrics
from tasks.training.captions.end_to_end_training import EndToEndConfig, split_contents
from tasks.training.dev_metrics import check_metric
from tasks.training.finalize_training import finalize_training
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import check_patterns
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob


@dataclass(frozen=True, kw_only=True)
class CaptionTrainingConfig:
    """What is trained, and how. model: the Config of a file in models/ that is a `Captioner`. front_end: what its
    annotation vectors are made with. init_from: the bundle that it begins with, whose network and normalizer it has.
    train_backbone: whether the backbone learns too, from the photos themselves; fit.freeze and fit.rate_factors then
    know it as `backbone` and the rest as `captioner`.
    """

    model: Any
    front_end: ImageFrontEnd
    batching: BatchingConfig
    fit: FitConfig
    init_from: Artifact | None = None
    train_backbone: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        with torch.device("meta"):
            model: Model = self.model.build(self.front_end.annotation_size, 8)
        if not isinstance(model, Captioner):
            raise ValueError(f"model: {type(model).__name__} is no captioner")
        if self.train_backbone:
            model = EndToEndCaptioner(empty_backbone(self.front_end), model)
        check_patterns(model, self.fit)


@step
def train_captioner(
    features: Artifact, tokenizer: Artifact, training: CaptionTrainingConfig, workers: Workers
) -> Artifact:
    """features: of `extract_image_features`; where the backbone learns, what `locate_photos` makes of them."""
    key = train_captioner.key(features, tokenizer, training, workers)
    training = replace(training, front_end=prepare_front_end(training.front_end))
    job = prepare_captioner(open_draft("training", key[:32]), features, tokenizer, training)
    told = {name: asdict(getattr(training, name)) for name in ("fit", "batching")}
    told |= {"features": features.digest, "train_backbone": training.train_backbone}
    return finalize_training(key, job, workers, told, PhotoConfig(training.front_end, job.dev.normalizer))


def prepare_captioner(
    draft: Draft, features: Artifact, tokenizer: Artifact, training: CaptionTrainingConfig
) -> TrainJob:
    """The job. Raises UserError where there is nothing to train on, or nothing to choose the best weights by.

    training: its front end as `prepare_front_end` gives it.
    """
    front_end, model, split = training.front_end, training.model, None
    rows, dev = (caption_pairs(read_index(features, split)) for split in ("train", "dev"))
    for name, index in (("training", rows), ("dev", dev)):
        if not len(index):
            raise UserError(f"{features}: the {name} split is empty")
    normalizer = source_normalizer(training.init_from) or fit_normalizer(features.read_json("statistics.json"))
    data: list[CaptionDataset] = [CaptionDataset(features, index, normalizer) for index in (rows, dev)]
    if training.train_backbone:
        data = [PhotoDataset(features, index, normalizer, front_end=front_end) for index in (rows, dev)]
        model, split = EndToEndConfig(model, front_end, normalizer), split_contents
    return TrainJob(
        draft=draft,
        model=model,
        sizes=(front_end.annotation_size, len(load_tokenizer(tokenizer))),
        tokenizer=tokenizer,
        train=data[0],
        dev=data[1],
        batching=training.batching,
        fit=training.fit,
        measure=check_metric(CaptionMetrics(), training.fit),
        init_from=training.init_from,
        split=split,
    )
