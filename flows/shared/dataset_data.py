"""Versions of data sets as the data of a recognizer: gated against leaks, mixed, features made of what is new only."""

from dataclasses import dataclass, field

from flows.kinds.model_kind import Data
from flows.recipes import Recipe
from infra.artifact_store import Artifact
from tasks.datasets.assemble_features import assemble_features, extract_version_features
from tasks.datasets.exclude_leaks import LeakConfig, exclude_leaks
from tasks.datasets.mix_corpora import NO_MIX, MixConfig
from tasks.text.grow_tokenizer import grow_tokenizer
from tasks.text.tokenizer import fit_tokenizer


@dataclass(frozen=True, kw_only=True)
class DatasetPlan:
    """training: versions whose training rows are mixed. measured: the version whose dev and test rows are frozen.
    tokenizer: of the model that is gone on with, which grows by what the transcripts need; None to fit one.
    """

    training: tuple[Artifact, ...]
    measured: Artifact
    tokenizer: Artifact | None = None
    leaks: LeakConfig = field(default_factory=LeakConfig)
    mix: MixConfig = NO_MIX


def dataset_data(plan: DatasetPlan, recipe: Recipe) -> Data:
    """Raises UserError where more leaks than the plan allows."""
    made = (extract_version_features(version, recipe.features) for version in (*plan.training, plan.measured))
    frames = tuple(dict.fromkeys(one for several in made for one in several))
    chosen = exclude_leaks(plan.training, plan.measured, frames, plan.leaks)
    known = plan.tokenizer
    tokenizer = grow_tokenizer(chosen, known) if known else fit_tokenizer(chosen, recipe.tokens)
    features = assemble_features(chosen, frames, tokenizer, recipe.ingest.error_budget, plan.mix)
    return Data(chosen, features, tokenizer)
