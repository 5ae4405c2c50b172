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
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow

from flows.command_line import comparison_arguments, run
from flows.disciplines import DISCIPLINES, Data
from flows.results import columns_compared, summarise_comparison
from flows.start import chosen_several
from infra.problem import Problem
from tasks.leaderboard import Entry
from tasks.publish_comparison import publish_comparison
from tasks.report_comparison import Comparison, report_comparison
from tasks.train_apart import Apart, train_apart

MODULES = {discipline.recipes: discipline for discipline in DISCIPLINES}


@flow(name="compare", flow_run_name="{names} on {corpus}")
def compare(corpus: str, names: str, settings: tuple[str, ...] = (), seeds: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Train several recipes on one corpus, and rank them.

    Args:
        corpus: KIND:URI, as for the recipes' own flow.
        names: of recipes, with a comma between them, or patterns such as cell_*; all of one flow.
        settings: values to replace in every recipe, such as fit.epochs=20.
        seeds: each recipe is trained once with each.
    """
    module, place, plans = chosen_several(corpus, names, settings, MODULES)
    discipline, title = MODULES[module], f"compare {names} on {place}"
    data: dict[str, Data] = {}
    failed: dict[str, str] = {}
    for recipe, plan in plans.items():
        with noted(failed, recipe):
            data[recipe] = discipline.data(place, plan)
    if not data:
        raise Problem(next(iter(failed.values())))

    trainings: list[Apart] = []
    for recipe, seed in ((recipe, seed) for recipe in data for seed in seeds):
        plan = replace(plans[recipe], fit=replace(plans[recipe].fit, seed=seed))  # the corpus' split has its own seed
        scored = partial(discipline.scores, data=data[recipe], plan=plan)
        inputs = (*data[recipe][:2], plan.training)
        trainings.append(Apart(recipe=recipe, seed=seed, step=discipline.train, inputs=inputs, scored=scored))
    key = hashlib.sha256("".join(one.key for one in trainings).encode()).hexdigest()
    failed |= train_apart(trainings, key, title)

    entries: list[Entry] = []
    for one in trainings:
        with noted(failed, one.label):
            if one.label not in failed:
                bundle = discipline.train(*one.arguments)
                entries.append(one.entry(bundle, one.scored(bundle)))
    if not entries:
        raise Problem(next(iter(failed.values())))

    columns = tuple((name, *told) for name, told in columns_compared().items())
    about = {"title": title, "corpus": str(place), "ranking": discipline.ranking, "columns": columns}
    comparison = Comparison(key=key, failed=tuple(failed.items()), **about)
    page = report_comparison(tuple(entries), comparison)
    published = publish_comparison(tuple(entries), page, comparison)
    return summarise_comparison(page, published, {entry.label: entry.bundle for entry in entries}, failed)


@contextmanager
def noted(failed: dict[str, str], label: str) -> Iterator[None]:
    """What is wrong with one recipe is noted, and the others go on."""
    try:
        yield
    except Problem as problem:
        failed[label] = str(problem)


if __name__ == "__main__":
    run(compare, comparison_arguments(__doc__, MODULES))
