"""Features to a bundle that holds a classifier: the same loop, workers and resumption as for speech."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from infra.problem import Problem
from infra.store import Artifact, Draft, open_draft
from models.interface import Classifier, Model
from tasks.adapt import Adaptation
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import Sound
from tasks.features import FrontEnd, Normaliser, dimension, normaliser_of
from tasks.featurize import index_of
from tasks.loop import Job
from tasks.measures import Classification, checked
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.step import step
from tasks.tokenizer import Tokens, load_source_tokenizer, load_tokenizer
from tasks.trained import trained
from tasks.training_run import Workers


@dataclass(frozen=True, kw_only=True)
class ClassifierTraining:
    """What is trained, and how. model: the Config of a file in models/ that is a `Classifier`. features: the front end
    of clips, or how texts are cut into tokens. adapt: how the model is to be used, which its bundle remembers.
    """

    model: Any
    features: FrontEnd | Tokens
    augment: Augment
    batching: Batching
    fit: Fit
    adapt: Adaptation = Adaptation()

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honoured, before anything is read."""
        reads = "tokens" if isinstance(self.features, Tokens) else "frames"
        with torch.device("meta"):
            source_size = 2 if isinstance(self.features, Tokens) else dimension(self.features, 40)
            model: Model = self.model.build(source_size, 2)
        if model.reads != reads:
            raise ValueError(f"the model reads {model.reads}, and features gives {reads}")
        if not isinstance(model, Classifier):
            raise ValueError(f"model: {type(model).__name__} is no classifier")
        self.adapt.check(model)
        if isinstance(self.features, FrontEnd):
            self.augment.check(self.features.kind)
        else:
            if not self.features.specials:
                raise ValueError("features.specials=false: what is unknown in a new text would have no id")
            if not self.augment.nothing:
                raise ValueError("augment.*: frames can be augmented, texts cannot; leave all of it at its defaults")


@step
def train_classifier(
    features: Artifact, vocabularies: Artifact, training: ClassifierTraining, workers: Workers
) -> Artifact:
    key = train_classifier.key(features, vocabularies, training, workers)
    job = prepare(open_draft("training", key[:32]), features, vocabularies, training)
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching", "augment", "adapt")}
    sound = Sound(training.features, job.dev.normaliser) if isinstance(training.features, FrontEnd) else None
    return trained(key, job, workers, {"features": features.digest} | configs, sound)


def prepare(draft: Draft, features: Artifact, vocabularies: Artifact, training: ClassifierTraining) -> Job:
    """The job. Raises Problem where there is nothing to train on, or nothing to choose the best weights by."""
    spelling = load_source_tokenizer(vocabularies)
    rows, dev = index_of(features, "train"), index_of(features, "dev")
    for split, index in (("training", rows), ("dev", dev)):
        if not len(index):
            raise Problem(f"{features}: the {split} split is empty")
    if spelling:
        source_size, normaliser = len(spelling), Normaliser("none")
    else:
        assert isinstance(training.features, FrontEnd)  # as the config has checked
        statistics = features.read_json("statistics.json")
        source_size, normaliser = len(statistics["sum"]), normaliser_of(statistics, training.features)
    return Job(
        draft=draft,
        model=training.model,
        sizes=(source_size, len(load_tokenizer(vocabularies))),
        tokenizer=vocabularies,
        train=Utterances(features, rows, normaliser, training.augment, training.fit.seed),
        dev=Utterances(features, dev, normaliser),
        batching=training.batching,
        fit=training.fit,
        measure=checked(Classification(), training.fit),
    )
