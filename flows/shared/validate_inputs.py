"""What is checked before any work: the corpus, the recipe and its settings."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any

from flows.shared.overrides import override
from infra.errors import UserError, suggest_name
from infra.settings import settings as infra_settings
from tasks.corpora.corpus_uri import Corpus, parse_corpus


def list_recipes(module: ModuleType) -> dict[str, str]:
    """The recipes of a module, and of those that it names as PARTS, with the first line of each docstring."""
    return {name: _first_line(make) for name, make in _functions(module).items()}


def _functions(module: ModuleType) -> dict[str, Callable[[], Any]]:
    return {name: make for part in _parts(module) for name, make in _own_functions(part).items()}


def _parts(module: ModuleType) -> tuple[ModuleType, ...]:
    """Those that come first in its list are offered first; the module itself last."""
    return (*getattr(module, "PARTS", ()), module)


def _own_functions(part: ModuleType) -> dict[str, Callable[[], Any]]:
    """Its recipes in the order in which they stand."""
    found = {n: f for n, f in vars(part).items() if inspect.isfunction(f) and f.__module__ == part.__name__}
    return {n: f for n, f in found.items() if not n.startswith("_") and not inspect.signature(f).parameters}


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").splitlines()[0]


def check_workers(count: int) -> None:
    """Raises UserError for fewer than none, and for more than this machine's cores where Ray has no cluster."""
    if count < 0:
        raise UserError(f"workers {count}: give how many train, 0 for the training in this process")
    cores = int(infra_settings().cores)
    if count > cores and not infra_settings().ray_address:
        place = f"this machine has {cores} cores (SCRIPTORIUM_CORES), and RAY_ADDRESS names no cluster"
        raise UserError(f"workers {count}: {place}; give at most {cores}")


def resolve_recipe(corpus: str, recipe: str, settings: Sequence[str], module: ModuleType) -> tuple[Corpus, Any]:
    """The corpus and the recipe by their names. Raises UserError saying what would be right."""
    known = _functions(module)
    if recipe not in known:
        raise UserError(f"recipe {recipe!r}: no such recipe; {suggest_name(recipe, known)}")
    return parse_corpus(corpus, module.VERB), override(known[recipe](), settings)


def resolve_recipes(
    corpus: str, patterns: str, settings: Sequence[str], modules: Iterable[ModuleType]
) -> tuple[ModuleType, Corpus, dict[str, Any]]:
    """The module, the corpus and the recipes by their names. Raises UserError saying what would be right.

    patterns: names with a comma between them, each perhaps a pattern such as `cell_*`; all are of one module.
    """
    if any(setting.startswith("fit.seed=") for setting in settings):
        raise UserError("--set fit.seed: the seeds of a comparison are given with --seeds")
    known = {name: module for module in modules for name in _functions(module)}
    found: dict[str, ModuleType] = {}
    for pattern in patterns.split(","):
        matching = {name: module for name, module in known.items() if fnmatchcase(name, pattern.strip())}
        if not matching:
            raise UserError(f"recipes {pattern.strip()!r}: no such recipe; {suggest_name(pattern, known)}")
        found |= matching
    (first, module), *others = found.items()
    for name, other in others:
        if other is not module:
            kinds = f"{first} is of {module.__name__}, {name} of {other.__name__}"
            raise UserError(f"recipes {patterns!r}: {kinds}; only recipes of one module can be compared")
    place, plans = parse_corpus(corpus, module.VERB), {}
    for name in found:
        try:
            plans[name] = override(_functions(module)[name](), settings)
        except UserError as problem:
            raise UserError(f"recipe {name}: {problem}") from problem
    return module, place, plans
