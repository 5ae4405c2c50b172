"""Recipes against each other: the same corpus, the same splits, each trained alone on one core, several at a time.

    corpus --(each recipe's steps)--> data --train, for each recipe and seed--> bundles --evaluate--> scores
                                                                   --report_comparison, publish--> leaderboard

Nothing is done twice: recipes share what they can of the data, and a comparison that was killed, or is asked for with
more recipes or seeds, does what is missing. No model is registered.

    python -m flows.compare --corpus text:/data/fables.txt --recipes 'cell_*' --seeds 0,1
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import SEEDS, corpus_field, form_field, settings_field
from flows.kinds.every_kind import MODEL_KINDS
from flows.kinds.model_kind import Data
from flows.recipes import StartsFromModel
from flows.shared.command_line import comparison_arguments, run_flow
from flows.shared.overrides import override
from flows.shared.run_summary import comparison_columns, summarize_comparison
from flows.shared.validate_inputs import resolve_recipes
from infra.errors import UserError
from tasks.publishing.publish_comparison import publish_comparison
from tasks.reports.report_comparison import Comparison, report_comparison
from tasks.training.leaderboard import LeaderboardEntry
from tasks.training.parallel_trials import Trial, run_trials

MODULES = {kind.recipes: kind for kind in MODEL_KINDS}


@flow(name="compare", flow_run_name="{names} on {corpus}")
def compare(
    corpus: Annotated[str, corpus_field("asr", "language_model", "classification", "translation", "captioning")],
    names: Annotated[str, form_field("Recipes", {"examples": ["cell_lstm,cell_gru", "cell_*"]})],
    settings: Annotated[tuple[str, ...], settings_field("fit.epochs=20")] = (),
    seeds: Annotated[tuple[int, ...], SEEDS] = (0,),
) -> dict[str, Any]:
    """Train several recipes on one corpus, and rank them.

    Args:
        corpus: KIND:URI, as for the recipes' own flow.
        names: of recipes, with a comma between them, or patterns such as cell_*; all of one flow.
        settings: values to replace in every recipe, such as fit.epochs=20.
        seeds: each recipe is trained once with each.
    """
    module, place, plans = resolve_recipes(corpus, names, settings, MODULES)
    check_starts(plans)
    kind, title = MODULES[module], f"compare {names} on {place}"
    seeded = {(name, seed): override(plan, [f"fit.seed={seed}"]) for name, plan in plans.items() for seed in seeds}
    data: dict[str, Data] = {}
    failed: dict[str, str] = {}
    for recipe, plan in plans.items():
        with collect_failures(failed, recipe):
            data[recipe] = kind.data(place, plan, None)
    if not data:
        raise UserError(next(iter(failed.values())))

    trainings: list[Trial] = []
    for recipe, seed in ((recipe, seed) for recipe in data for seed in seeds):
        plan = seeded[recipe, seed]  # the corpus' split has its own seed
        scored = partial(kind.dev_scores, data[recipe], plan)
        inputs = (data[recipe].examples, data[recipe].tokenizer, plan.training)
        trainings.append(Trial(recipe=recipe, seed=seed, step=kind.train, inputs=inputs, scored=scored))
    key = hashlib.sha256("".join(one.key for one in trainings).encode()).hexdigest()
    failed |= run_trials(trainings, key, title)

    entries: list[LeaderboardEntry] = []
    for one in trainings:
        with collect_failures(failed, one.label):
            if one.label not in failed:
                bundle = kind.train(*one.arguments)
                entries.append(one.entry(bundle, one.scored(bundle)))
    if not entries:
        raise UserError(next(iter(failed.values())))

    columns = tuple((name, *told) for name, told in comparison_columns().items())
    about = {"title": title, "corpus": str(place), "ranking": kind.ranking, "columns": columns}
    comparison = Comparison(key=key, failed=tuple(failed.items()), **about)
    page = report_comparison(tuple(entries), comparison)
    published = publish_comparison(tuple(entries), page, comparison)
    return summarize_comparison(page, published, {entry.label: entry.bundle for entry in entries}, failed)


def check_starts(plans: dict[str, Any]) -> None:
    """Raises UserError where a recipe is one of fine-tuning."""
    if starting := [name for name, plan in plans.items() if isinstance(plan, StartsFromModel)]:
        raise UserError(f"recipe {starting[0]} starts from a model (--from): name recipes that do not")


@contextmanager
def collect_failures(failed: dict[str, str], label: str) -> Iterator[None]:
    """What is wrong with one recipe is noted, and the others go on."""
    try:
        yield
    except UserError as problem:
        failed[label] = str(problem)


if __name__ == "__main__":
    run_flow(compare, comparison_arguments(MODULES))
