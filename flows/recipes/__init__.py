"""What a recipe is. A recipe is a function without arguments that returns one; its name is how it is called for."""

from dataclasses import dataclass, field
from typing import Any

from models.interface import Beam
from tasks.adapt import Adaptation
from tasks.augment import Augment
from tasks.companions import TranscriptModel
from tasks.corpus import Ingest
from tasks.evaluate import Scoring
from tasks.features import FrontEnd
from tasks.ingest_text import TextIngest
from tasks.ngram.lines import LineSplit
from tasks.ngram.train import NGrams, NGramTraining
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.rehearsal import rehearse
from tasks.sampling import Prompt
from tasks.stream import Chunking
from tasks.tokenizer import Tokens
from tasks.train import Training
from tasks.train_classifier import ClassifierTraining
from tasks.train_language_model import LanguageTraining
from tasks.vocabularies import LabelSet


def architecture_of(model: Any) -> str:
    """The file in models/ that a Config is of."""
    return type(model).__module__.rsplit(".", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """Every config of a language model's run. model: the Config of a file in models/ that is a `LanguageModel`."""

    model: Any
    ingest: TextIngest = field(default_factory=TextIngest)
    tokens: Tokens = field(default_factory=Tokens)
    chunks: Chunking = field(default_factory=Chunking)
    batching: Batching = field(default_factory=Batching)
    fit: Fit = field(default_factory=Fit)
    prompt: Prompt = field(default_factory=Prompt)

    @property
    def architecture(self) -> str:
        return architecture_of(self.model)

    @property
    def training(self) -> LanguageTraining:
        return LanguageTraining(
            model=self.model, chunks=self.chunks, batching=self.batching, fit=self.fit, prompt=self.prompt
        )


@dataclass(frozen=True, kw_only=True)
class NGramRecipe:
    """Every config of an n-gram model's run."""

    ingest: TextIngest = field(default_factory=TextIngest)
    tokens: Tokens = field(default_factory=Tokens)
    split: LineSplit = field(default_factory=LineSplit)
    ngram: NGrams = field(default_factory=NGrams)

    def __post_init__(self) -> None:
        if not self.tokens.specials:
            raise ValueError("tokens.specials=false: an n-gram model needs ids for sentence ends and what is unknown")
        if not self.split.dev_share:
            raise ValueError("split.dev_share=0: the model is measured on the lines that are held out")

    @property
    def training(self) -> NGramTraining:
        return NGramTraining(ngram=self.ngram, split=self.split)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every config of a run. model: the Config of a file in models/ that maps audio to text. transcript_model: what the
    search fuses. adapt: to whom it listens. A beam that the model's search does not take, or an adaptation of nothing,
    is refused here, before anything is read.
    """

    model: Any
    ingest: Ingest = field(default_factory=Ingest)
    tokens: Tokens = field(default_factory=Tokens)
    features: FrontEnd = field(default_factory=FrontEnd)
    augment: Augment = field(default_factory=Augment)
    batching: Batching = field(default_factory=Batching)
    fit: Fit = field(default_factory=Fit)
    transcript_model: TranscriptModel = field(default_factory=TranscriptModel)
    beam: Beam = field(default_factory=Beam)
    adapt: Adaptation = field(default_factory=Adaptation)
    scoring: Scoring = field(default_factory=Scoring)

    def __post_init__(self) -> None:
        if self.beam.lm_weight and self.transcript_model.unit == "none":
            raise ValueError("beam.lm_weight: no language model; set transcript_model.unit=words, or the weight to 0")
        for name in ("trim_db", "frames"):
            if getattr(self.features, name):
                raise ValueError(f"features.{name} would shift the times of what is recognised; it is for classifiers")
        self.augment.check(self.features.kind)
        self.adapt.check(rehearse(self.model, self.features, self.beam, self.transcript_model.unit))

    @property
    def architecture(self) -> str:
        return architecture_of(self.model)

    @property
    def training(self) -> Training:
        return Training(
            model=self.model,
            front_end=self.features,
            augment=self.augment,
            batching=self.batching,
            fit=self.fit,
            adapt=self.adapt,
        )


@dataclass(frozen=True, kw_only=True)
class ClassificationRecipe:
    """Every config of a classifier's run. model: the Config of a file in models/ that is a `Classifier`. features: the
    front end of clips, or `Tokens`: how texts are cut into tokens.
    """

    model: Any
    ingest: Ingest = field(default_factory=Ingest)
    labels: LabelSet = field(default_factory=LabelSet)
    features: FrontEnd | Tokens = field(default_factory=FrontEnd)
    augment: Augment = field(default_factory=Augment)
    batching: Batching = field(default_factory=Batching)
    fit: Fit = field(default_factory=Fit)
    adapt: Adaptation = field(default_factory=Adaptation)
    scoring: Scoring = field(default_factory=Scoring)

    def __post_init__(self) -> None:
        """Raises ValueError where the model cannot read what the features give it."""
        assert self.training

    @property
    def architecture(self) -> str:
        return architecture_of(self.model)

    @property
    def front_end(self) -> FrontEnd | None:
        """Of clips, None for texts."""
        return self.features if isinstance(self.features, FrontEnd) else None

    @property
    def training(self) -> ClassifierTraining:
        return ClassifierTraining(
            model=self.model,
            features=self.features,
            augment=self.augment,
            batching=self.batching,
            fit=self.fit,
            adapt=self.adapt,
        )
