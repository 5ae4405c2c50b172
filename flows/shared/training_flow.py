"""From a corpus and a recipe to a registered model: what the training flows have in common."""

import time
from typing import Any, NamedTuple

from flows.shared.model_kinds import ModelKind, held_out
from flows.shared.run_context import RunContext
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import check_workers, resolve_recipe
from tasks.publishing.publish_model import Registration, publish_model, track_training
from tasks.training.run_training import Workers


class TrainingRequest(NamedTuple):
    """What a training flow is asked for."""

    corpus: str
    recipe: str
    settings: tuple[str, ...]
    workers: int
    model_name: str
    alias: str


def train_model(kind: ModelKind, order: TrainingRequest) -> dict[str, Any]:
    """The corpus to data, these to a bundle, it to scores and a page; all of it registered."""
    started = time.time()
    place, recipe = resolve_recipe(order.corpus, order.recipe, order.settings, kind.recipes)
    check_workers(order.workers)
    title = f"{order.recipe} on {place}"
    about = {"corpus": str(place), "recipe": order.recipe, "name": order.model_name, "alias": order.alias}
    publication = Registration(run_name=title, **about)
    data = kind.data(place, recipe)
    inputs = (data.examples, data.tokenizer, recipe.training)
    run = RunContext(title, started, order.model_name, kind.train.key(*inputs))
    with track_training(run.training_key, publication, recipe, (data.corpus, data.examples)):
        trained = kind.train(*inputs, Workers(count=order.workers, run_name=title))
        bundle = kind.finish(trained, data, recipe)
        outcome = kind.outcome(bundle, data, recipe, held_out(data.corpus), run)
        published = publish_model(outcome, data.tokenizer, recipe, run.training_key, publication)
    return summarize_run(outcome, published)
