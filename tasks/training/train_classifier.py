"""Features to a bundle that holds a classifier: the same loop, workers and resumption as for speech."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.interface import Classifier, Model
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import AudioConfig
from tasks.bundles.pretrained_model import source_normalizer
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import CMVN, FrontEnd, feature_size, fit_cmvn
from tasks.ingest.shard_index import read_index
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import TokenizerConfig, load_source_tokenizer, load_tokenizer
from tasks.training.dev_metrics import ClassificationMetrics, check_metric
from tasks.training.finalize_training import finalize_training
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import check_patterns
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingConfig:
    """What is trained, and how. model: the Config of a file in models/ that is a `Classifier`. features: the front end
    of clips, or how texts are cut into tokens. adapt: how the model is to be used, which its bundle remembers.
    init_from: the bundle that it begins with, whose front end, normalizer and network it has.
    """

    model: Any
    features: FrontEnd | TokenizerConfig
    augment: AugmentConfig
    batching: BatchingConfig
    fit: FitConfig
    adapt: AdaptationConfig = AdaptationConfig()
    init_from: Artifact | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        reads = "tokens" if isinstance(self.features, TokenizerConfig) else "frames"
        with torch.device("meta"):
            source_size = 2 if isinstance(self.features, TokenizerConfig) else feature_size(self.features, 40)
            model: Model = self.model.build(source_size, 2)
        if model.reads != reads:
            raise ValueError(f"the model reads {model.reads}, and features gives {reads}")
        if not isinstance(model, Classifier):
            raise ValueError(f"model: {type(model).__name__} is no classifier")
        self.adapt.check(model)
        check_patterns(model, self.fit)
        if isinstance(self.features, FrontEnd):
            self.features.check_filters()
            self.augment.check(self.features.kind)
            if self.augment.concatenate:
                raise ValueError("augment.concatenate: a clip of two has no label; leave it at its default")
        else:
            if not self.features.specials:
                raise ValueError("features.specials=false: what is unknown in a new text would have no id")
            if not self.augment.nothing:
                raise ValueError("augment.*: frames can be augmented, texts cannot; leave all of it at its defaults")


@step
def train_classifier(
    features: Artifact, vocabularies: Artifact, training: ClassifierTrainingConfig, workers: Workers
) -> Artifact:
    key = train_classifier.key(features, vocabularies, training, workers)
    job = prepare_classifier(open_draft("training", key[:32]), features, vocabularies, training)
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching", "augment", "adapt")}
    sound = AudioConfig(training.features, job.dev.normalizer) if isinstance(training.features, FrontEnd) else None
    return finalize_training(key, job, workers, {"features": features.digest} | configs, sound)


def prepare_classifier(
    draft: Draft, features: Artifact, vocabularies: Artifact, training: ClassifierTrainingConfig
) -> TrainJob:
    """The job. Raises UserError where there is nothing to train on, or nothing to choose the best weights by."""
    spelling = load_source_tokenizer(vocabularies)
    rows, dev = read_index(features, "train"), read_index(features, "dev")
    for split, index in (("training", rows), ("dev", dev)):
        if not len(index):
            raise UserError(f"{features}: the {split} split is empty")
    if spelling:
        source_size, normalizer = len(spelling), CMVN("none")
    else:
        assert isinstance(training.features, FrontEnd)  # as the config has checked
        statistics = features.read_json("statistics.json")
        source_size, normalizer = len(statistics["sum"]), fit_cmvn(statistics, training.features)
        normalizer = source_normalizer(training.init_from) or normalizer
    return TrainJob(
        draft=draft,
        model=training.model,
        sizes=(source_size, len(load_tokenizer(vocabularies))),
        tokenizer=vocabularies,
        train=UtteranceDataset(features, rows, normalizer, training.augment, training.fit.seed),
        dev=UtteranceDataset(features, dev, normalizer),
        batching=training.batching,
        fit=training.fit,
        measure=check_metric(ClassificationMetrics(), training.fit),
        init_from=training.init_from,
    )
