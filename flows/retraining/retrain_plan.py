"""What a retraining is asked for, and what it starts from: the champion, or nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from flows.ingest import SpeechIngest
from flows.recipes import FineTuningRecipe, Recipe, asr
from flows.shared.fine_tuning import RECOGNIZER
from flows.shared.overrides import override
from flows.shared.recipe_choice import AUTO, FINE_TUNING, fitting, this_machine
from flows.shared.validate_inputs import check_workers, resolve_recipe
from infra import tracking
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.bundles.model_bundle import bundle_tokenizer
from tasks.corpora.corpus_uri import Corpus, IngestConfig
from tasks.datasets.dataset_head import NAME
from tasks.datasets.exclude_leaks import LeakConfig
from tasks.datasets.find_releases import parse_watched
from tasks.datasets.mix_corpora import MixConfig
from tasks.scoring.decide_promotion import PromotionRule
from tasks.text.grow_tokenizer import grow_tokenizer


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """What a retraining has beside its recipe. dataset: its name, "" for the model's. also: other data sets in the mix.
    scratch: the recipe where nothing is gone on with, and --recipe is one of fine-tuning. settle_seconds: between two
    looks at a new release, by which one that is still copied is known. retracted_budget: the share of the data set that
    a release may withdraw.
    """

    dataset: str = ""
    also: tuple[str, ...] = ()
    scratch: str = AUTO
    settle_seconds: float = 3.0
    retracted_budget: float = 0.5
    leaks: LeakConfig = field(default_factory=LeakConfig)
    mix: MixConfig = field(default_factory=MixConfig)
    promotion: PromotionRule = field(default_factory=PromotionRule)


class RetrainRequest(NamedTuple):
    """settings: of the recipe, and of RetrainConfig."""

    watch: str
    name: str
    locale: str
    recipe: str
    settings: tuple[str, ...]
    workers: int

    @property
    def digest(self) -> str:
        """Of what decides the model: the same for a run that asks for the same again."""
        told = json.dumps([self.locale, self.recipe, sorted(self.settings)])
        return hashlib.sha256(told.encode()).hexdigest()


class RetrainPlan(NamedTuple):
    """A request with all that it stands for. settings: of the recipe."""

    watched: Corpus
    dataset: str
    config: RetrainConfig
    settings: tuple[str, ...]
    ingest: IngestConfig


class Start(NamedTuple):
    """What a training begins with. source: the champion's bundle, None from scratch. reason: in words."""

    name: str
    recipe: Recipe
    source: Artifact | None
    reason: str


def plan_retraining(order: RetrainRequest) -> RetrainPlan:
    """Raises UserError for what is wrong with a request, as far as that is seen before any data and any model."""
    check_workers(order.workers)
    tracking.check_registration(order.name, "")
    own = {f.name for f in fields(RetrainConfig)}
    mine = [setting for setting in order.settings if setting.partition("=")[0].partition(".")[0].strip() in own]
    others = tuple(setting for setting in order.settings if setting not in mine)
    config = override(RetrainConfig(), mine)
    dataset = config.dataset or order.name
    if not NAME.fullmatch(dataset):
        raise UserError(f"data set {dataset!r}: a name has letters, digits, '.', '_' and '-'; name one with --dataset")
    watched = parse_watched(order.watch)
    recipe = _named(order.recipe, config, str(watched), others)
    ingest = recipe.ingest if recipe else _ingest(others)
    return RetrainPlan(watched, dataset, config, others, ingest)


def _named(recipe: str, config: RetrainConfig, watch: str, settings: Sequence[str]) -> Any:
    """The recipe whose way to take clips in counts, None where none is named. Each that is named is checked."""
    found = None
    for name in (config.scratch, recipe):
        if name != AUTO:
            _, plain = resolve_recipe(watch, name, (), asr)
            if isinstance(plain, FineTuningRecipe):
                found, _ = RECOGNIZER.settings_by_part(plain, settings)
            else:
                found = override(plain, settings)
    return found


def _ingest(settings: Sequence[str]) -> IngestConfig:
    return override(SpeechIngest(), [one for one in settings if one.startswith("ingest.")]).ingest


def choose_start(order: RetrainRequest, plan: RetrainPlan, version: Artifact, champion: Artifact | None) -> Start:
    """From the champion, unless the recipe has a network of its own, there is none, or its tokenizer cannot grow to
    what the transcripts need. The recipe of a training from scratch is the one that is named, or that fits the hours.
    """
    watch, wanted = str(plan.watched), order.recipe if order.recipe != AUTO else FINE_TUNING
    _, recipe = resolve_recipe(watch, wanted, (), asr)
    if not isinstance(recipe, FineTuningRecipe):
        return Start(wanted, override(recipe, plan.settings), None, f"recipe {wanted} trains from scratch")
    reason = f"{order.name} has no champion yet"
    if champion:
        try:
            grow_tokenizer(version, bundle_tokenizer(champion))
        except UserError as problem:
            reason = str(problem)
        else:
            recipe = RECOGNIZER.derive_recipe(recipe, plan.settings, champion)
            return Start(wanted, recipe, champion, "it starts from the champion")
    scratch = plan.config.scratch
    if scratch == AUTO:
        told = version.read_json("summary.json")["splits"].get("train", {})
        scratch, why = fitting(told.get("seconds", 0.0) / 3600, this_machine(order.workers))
        reason = f"{reason}; {why}"
    _, recipe = resolve_recipe(watch, scratch, (), asr)
    if isinstance(recipe, FineTuningRecipe):
        raise UserError(f"scratch={scratch}: it starts from a model; name a recipe with a network of its own")
    return Start(scratch, override(recipe, plan.settings), None, reason)
