"""What a kind of model is to the flows: its data, training, scores and page, by a recipe or for a bundle.

A recipe (flows/recipes/) and what may be replaced of a trained model (flows/shared/evaluation_plan.py) name what they
share alike, so that a model is scored by either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from flows.recipes import ClassificationRecipe, Recipe
from flows.shared.evaluation_plan import (
    EvaluationPlan,
)
from flows.shared.fine_tuning import FineTuning
from flows.shared.recipe_choice import AUTO
from flows.shared.run_context import RunContext
from infra.artifact_store import Artifact
from infra.errors import UserError, tell_user
from tasks.bundles.bundle_files import read_architecture
from tasks.bundles.model_bundle import (
    bundle_front_end,
    bundle_tokenizer,
    lm_architecture,
)
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import count_splits, ingest_corpus, list_splits
from tasks.publishing.publish_model import RunOutcome
from tasks.steps.pipeline_step import Step
from tasks.training.leaderboard import Ranking

SPLITS = ("train", "dev", "test")


class Data(NamedTuple):
    """corpus: shards, or a text. examples: features, or a stream. tokenizer: or vocabularies."""

    corpus: Artifact
    examples: Artifact
    tokenizer: Artifact


class Scored(NamedTuple):
    """scores: of one split. said: by the model, as far as that is kept."""

    scores: Artifact
    said: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class ModelKind:
    """recipes: their module. ranking: what its models are compared by.

    By a recipe: data of a corpus, whose examples and tokenizer `train_asr` takes, and for a training that starts from a
    bundle its tokenizer with what the corpus needs beyond; fine_tuning: the recipe of such a training, None where there
    are none; default_recipe: of another training that names none; finish: a trained bundle with what the recipe gives
    it; evaluation_data (bundle, data, recipe): what such a bundle is measured on, where that is other than what it was
    trained on. For a bundle: plan: what may be replaced of it; ready: the bundle with what a plan gives it (raises
    UserError for a plan that it does not go with); read: one split of a corpus. By either: score (bundle, examples,
    recipe or plan, split); page (bundle, data, scores by split, recipe or plan, context of the run).
    """

    recipes: ModuleType
    ranking: Ranking
    data: Callable[[Corpus, Any, Artifact | None], Data]
    train: Step[...]
    finish: Callable[[Artifact, Data, Any], Artifact]
    fine_tuning: FineTuning | None = field(default=None, kw_only=True)
    default_recipe: str = field(default=AUTO, kw_only=True)
    evaluation_data: Callable[[Artifact, Data, Any], Data] = field(
        default=lambda _bundle, data, _recipe: data, kw_only=True
    )
    plan: Callable[[Artifact], Any]
    ready: Callable[[Artifact, Any], Artifact]
    read: Callable[[Artifact, Corpus, str, Any], Data]
    score: Callable[[Artifact, Artifact, Any, str], Scored]
    page: Callable[[Artifact, Data, dict[str, Scored], Any, RunContext], Artifact]

    def dev_scores(self, data: Data, recipe: Any, trained: Artifact) -> Artifact:
        """Of a model that was trained by a recipe on this data."""
        bundle = self.finish(trained, data, recipe)
        return self.score(bundle, self.evaluation_data(bundle, data, recipe).examples, recipe, "dev").scores

    def outcome(self, bundle: Artifact, data: Data, plan: Any, splits: Sequence[str], run: RunContext) -> RunOutcome:
        """What a bundle comes to on splits of the data: scores and page."""
        found = {split: self.score(bundle, data.examples, plan, split) for split in splits}
        page, scores = self.page(bundle, data, found, plan, run), tuple(one.scores for one in found.values())
        data_used = (data.corpus, data.examples, *found[splits[0]].said)
        return RunOutcome(
            bundle=bundle, page=page, splits=tuple(splits), scores=scores, data=data_used, ranking=self.ranking
        )


def tell_if_few(shards: Artifact, few: int, what: str) -> None:
    """Tell the user where train has fewer rows than a model wants that starts from nothing."""
    count = shards.read_json("summary.json")["splits"].get("train", {}).get("kept", 0)
    if count < few:
        told = f"{count:,} {what} to learn from; a model that starts from nothing wants {few:,} or more"
        tell_user(f"{told}, one that there is (--from NAME@ALIAS) fewer")


def held_out(corpus: Artifact) -> tuple[str, ...]:
    """Of those that a trained model is measured on, the ones there are, the first counting most."""
    return ("dev",) if corpus.kind == "text" else tuple(s for s in ("test", "dev") if s in list_splits(corpus))


def inference(bundle: Artifact, plan: Recipe | ClassificationRecipe | EvaluationPlan, split: str) -> dict[str, Any]:
    """What every config of a run over a split has."""
    names = {"architecture": read_architecture(bundle), "lm_architecture": lm_architecture(bundle)}
    return names | {"split": split, "batching": plan.batching, "adapt": plan.adapt}


def read_shards(bundle: Artifact, place: Corpus, split: str, plan: EvaluationPlan) -> Data:
    shards, tokenizer = ingest_corpus(place, fingerprint(place), plan.ingest, (split,)), bundle_tokenizer(bundle)
    if split not in list_splits(shards):
        rows = {
            name or "of no split, which makes them train": n for name, n in count_splits(place, plan.ingest).items()
        }
        there = ", ".join(f"{n} are {name}" for name, n in rows.items())
        raise UserError(
            f"{place} has no {split} split: of its rows {there}; name another (--split), or make ours with "
            "--set ingest.own_splits=true"
        )
    return Data(
        shards, extract_features(shards, tokenizer, bundle_front_end(bundle), plan.ingest.error_budget), tokenizer
    )
