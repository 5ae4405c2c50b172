"""The recipes by what they are for; with a name, one recipe whole: every key of --set, its value and what it means."""

import argparse
import importlib
import inspect
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from flows.command_line.source_help import Setting, config_settings, recipes_by_purpose
from infra.errors import UserError, one_line_errors, suggest_name

# The modules of flows/recipes/ by the command that takes their recipes.
TRAINING = {
    "train-asr": "asr",
    "train-language-model": "language_model",
    "train-ngram": "ngram",
    "train-classifier": "classification",
    "train-translation": "translation",
    "train-captioning": "captioning",
}


def list_text() -> str:
    lines: list[str] = []
    for command, module in TRAINING.items():
        lines.append(f"scriptorium {command} --recipe NAME:")
        for purpose, found in recipes_by_purpose(module):
            lines += [f"  {purpose}", *(f"    {name:<34}{line}" for name, line in found.items())]
        lines.append("")
    return "\n".join([*lines, "scriptorium recipes NAME shows one whole."])


def recipe_text(name: str) -> str:
    """A recipe with every value. Raises UserError for a name that there is not."""
    known = {
        recipe: (command, module)
        for command, module in TRAINING.items()
        for _, found in recipes_by_purpose(module)
        for recipe in found
    }
    if name not in known:
        raise UserError(f"recipe {name!r}: no such recipe; {suggest_name(name, known, 'see --help')}")
    command, module = known[name]
    make = _recipe(importlib.import_module(f"flows.recipes.{module}"), name)
    lines = [f"scriptorium {command} --recipe {name}", "", inspect.getdoc(make) or "", ""]
    for setting, value, default in _values(make(), ""):
        mark = "*" if value != default else " "
        lines.append(f"{mark} {f'{setting.key}={_shown(value)}':<44} {setting.type}")
        lines += [f"      {setting.meaning}"] if setting.meaning else []
    return "\n".join([*lines, "", "* not the default. Any of them: --set KEY=VALUE"])


def _recipe(module: Any, name: str) -> Any:
    parts = (*getattr(module, "PARTS", ()), module)
    return next(vars(part)[name] for part in parts if name in vars(part))


def _values(config: Any, prefix: str) -> Iterator[tuple[Setting, Any, Any]]:
    """Each key of a config with its value and its default."""
    kind = type(config)
    told = {setting.key: setting for setting in config_settings(kind.__module__, kind.__name__)}
    hints = typing.get_type_hints(kind)
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from _values(value, f"{prefix}{f.name}.")
            continue
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        known = told.get(f.name) or Setting(f.name, str(hints[f.name]), "", "")
        yield known._replace(key=prefix + f.name), value, default


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME")
    given = parser.parse_args()
    with one_line_errors():
        print(recipe_text(given.name) if given.name else list_text())


if __name__ == "__main__":
    main()
