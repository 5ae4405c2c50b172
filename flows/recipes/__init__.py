"""What a recipe is. A recipe is a function without arguments that returns one; its name is how it is called for."""

from dataclasses import dataclass, field
from typing import Any

from models.interface import Beam
from tasks.augment import Augment
from tasks.corpus import Ingest
from tasks.evaluate import Scoring
from tasks.features import FrontEnd
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.tokenizer import Tokens
from tasks.train import Training


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every config of a run. model: the Config of a file in models/ that maps audio to text."""

    model: Any
    ingest: Ingest = field(default_factory=Ingest)
    tokens: Tokens = field(default_factory=Tokens)
    features: FrontEnd = field(default_factory=FrontEnd)
    augment: Augment = field(default_factory=Augment)
    batching: Batching = field(default_factory=Batching)
    fit: Fit = field(default_factory=Fit)
    beam: Beam = field(default_factory=Beam)
    scoring: Scoring = field(default_factory=Scoring)

    @property
    def architecture(self) -> str:
        return type(self.model).__module__.rsplit(".", 1)[-1]

    @property
    def training(self) -> Training:
        return Training(
            model=self.model,
            front_end=self.features,
            augment=self.augment,
            batching=self.batching,
            fit=self.fit,
            beam=self.beam,
        )
