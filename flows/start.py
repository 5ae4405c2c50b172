"""What is checked before any work: the corpus, the recipe and its settings."""

import difflib
import inspect
from types import ModuleType

from flows.overrides import override
from flows.recipes import Recipe
from infra.problem import Problem
from tasks.corpus import Corpus, parse


def recipes(module: ModuleType) -> dict[str, str]:
    """The recipes of a module with the first line of each docstring."""
    found = inspect.getmembers(module, inspect.isfunction)
    mine = {n: f for n, f in found if f.__module__ == module.__name__ and not inspect.signature(f).parameters}
    return {name: (inspect.getdoc(function) or "").splitlines()[0] for name, function in mine.items()}


def chosen(corpus: str, recipe: str, settings: list[str], module: ModuleType) -> tuple[Corpus, Recipe]:
    """The corpus and the recipe by their names. Raises Problem saying what would be right."""
    known = recipes(module)
    if recipe not in known:
        near = difflib.get_close_matches(recipe, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise Problem(f"recipe {recipe!r}: no such recipe; {hint}")
    return parse(corpus), override(getattr(module, recipe)(), settings)
