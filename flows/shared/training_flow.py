"""From a corpus and a recipe to a registered model: what the training flows have in common."""

import argparse
import sys
import time
from dataclasses import replace
from typing import Any, NamedTuple

from flows.kinds.every_kind import model_kind
from flows.kinds.model_kind import ModelKind, held_out
from flows.kinds.speech import SPEECH
from flows.recipes import StartsFromModel
from flows.shared.recipe_choice import AUTO, RecipeChoice, check_auto, choose_recipe
from flows.shared.run_context import RunContext
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import check_workers, resolve_recipe
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.bundles.find_model import find_model
from tasks.corpora.corpus_uri import Corpus
from tasks.publishing.publish_model import Registration, publish_model, track_training
from tasks.training.run_training import Workers

INIT_FROM = "init_from="  # among the settings


class TrainingRequest(NamedTuple):
    """What a training flow is asked for. recipe: "auto" for the one that fits, where there are such. settings: of the
    recipe, and init_from=NAME@ALIAS or init_from=PATH for a model to start from.
    """

    corpus: str
    recipe: str
    settings: tuple[str, ...]
    workers: int
    model_name: str
    alias: str

    @property
    def init_from(self) -> str:
        """The model to start from, "" for none."""
        return next(
            (told.removeprefix(INIT_FROM) for told in reversed(self.settings) if told.startswith(INIT_FROM)), ""
        )

    @property
    def of_recipe(self) -> tuple[str, ...]:
        """The settings of the recipe."""
        return tuple(setting for setting in self.settings if not setting.startswith(INIT_FROM))


class TrainingPlan(NamedTuple):
    """A request with all that it stands for. source: the bundle that the training starts from."""

    place: Corpus
    choice: RecipeChoice
    recipe: Any
    source: Artifact | None


def check_request(kind: ModelKind, order: TrainingRequest) -> None:
    """Raises UserError for what is wrong with it, as far as that is seen without the corpus and the model."""
    check_workers(order.workers)
    name = name_recipe(kind, order)
    if name == AUTO and kind is SPEECH:
        check_auto(order.corpus, order.of_recipe)
        return
    _, recipe = resolve_recipe(order.corpus, name, () if order.init_from else order.of_recipe, kind.recipes)
    if order.init_from and not kind.fine_tuning:
        starts = "only train-asr, train-translation and train-captioning start from a model as yet"
        raise UserError(f"--from {order.init_from}: {starts}")
    if order.init_from and kind.fine_tuning:
        kind.fine_tuning.settings_by_part(recipe, order.of_recipe)
    if isinstance(recipe, StartsFromModel) and not order.init_from:
        raise UserError(f"recipe {name} starts from a model: name it with --from NAME@ALIAS, or its path")


def name_recipe(kind: ModelKind, order: TrainingRequest) -> str:
    """The one that is meant: "auto" where the corpus decides."""
    if order.recipe != AUTO:
        return order.recipe
    return kind.fine_tuning.default if order.init_from and kind.fine_tuning else kind.default_recipe


def check_arguments(kind: ModelKind, given: argparse.Namespace) -> None:
    """The same of a command line, whose --from becomes one of the settings."""
    if source := vars(given).pop("init_from", ""):
        given.settings.append(f"{INIT_FROM}{source}")
    check_request(kind, TrainingRequest(**{name: getattr(given, name) for name in TrainingRequest._fields}))


def plan_training(kind: ModelKind, order: TrainingRequest) -> TrainingPlan:
    """Raises UserError for a model of another kind, and for settings that contradict it."""
    check_request(kind, order)
    chosen = order.recipe == AUTO
    if not order.init_from:
        choice = RecipeChoice(name_recipe(kind, order), "name another with --recipe" if chosen else "")
        if choice.recipe == AUTO:
            choice = choose_recipe(order.corpus, order.of_recipe, order.workers)
        place, recipe = resolve_recipe(order.corpus, choice.recipe, order.of_recipe, kind.recipes)
        return TrainingPlan(place, choice, recipe, source=None)
    choice = RecipeChoice(name_recipe(kind, order), f"it starts from {order.init_from}" if chosen else "")
    source = find_model(order.init_from)
    if model_kind(source) is not kind:
        names = {"asr": "a recognizer", "language-model": "a language model", "classifier": "a classifier"}
        names |= {"translation": "a translator", "captioning": "a captioner"}
        is_one = names[model_kind(source).recipes.MODEL_NAME]
        raise UserError(f"--from {order.init_from}: it is {is_one}, and this trains {names[kind.recipes.MODEL_NAME]}")
    place, recipe = resolve_recipe(order.corpus, choice.recipe, (), kind.recipes)
    assert kind.fine_tuning is not None  # as `check_request` has seen
    return TrainingPlan(place, choice, kind.fine_tuning.derive_recipe(recipe, order.of_recipe, source), source)


def train_model(kind: ModelKind, order: TrainingRequest) -> dict[str, Any]:
    """The corpus to data, these to a bundle, it to scores and a page; all of it registered."""
    started = time.time()
    place, (name, reason), recipe, source = plan_training(kind, order)
    if reason:
        print(f"scriptorium: recipe {name}: {reason}", file=sys.stderr)
    title = f"{name} on {place}"
    about = {"corpus": str(place), "recipe": name, "name": order.model_name, "alias": order.alias}
    publication = Registration(run_name=title, **about)
    data = kind.data(place, recipe, source)
    inputs = (data.examples, data.tokenizer, replace(recipe.training, init_from=source))
    run = RunContext(title, started, order.model_name, kind.train.key(*inputs))
    with track_training(run.training_key, publication, recipe, (data.corpus, data.examples)):
        trained = kind.train(*inputs, Workers(count=order.workers, run_name=title))
        bundle = kind.finish(trained, data, recipe)
        measured_on = kind.evaluation_data(bundle, data, recipe)
        outcome = kind.outcome(bundle, measured_on, recipe, held_out(data.corpus), run)
        published = publish_model(outcome, data.tokenizer, recipe, run.training_key, publication)
    return summarize_run(outcome, published) | {"recipe": name, "recipe_reason": reason}
