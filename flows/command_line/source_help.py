"""Recipes, corpus kinds and the keys of --set as `--help` lists them, read from the source.

To import them takes seconds of torch; to parse the few files that they stand in takes a tenth of one.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
READERS = "tasks.corpora.readers"
EMPTY = {"dict": "{}", "list": "[]", "tuple": "()"}  # what a default_factory makes
LITERAL = re.compile(r"Literal\[(.*?)\]")


class Setting(NamedTuple):
    """A key of --set. type, default: as they stand in the source. meaning: of the class' docstring."""

    key: str
    type: str
    default: str
    meaning: str


def recipes_by_purpose(module: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Of a module of flows/recipes/ and its PARTS, which come first: what its recipes are for, and each with a line."""
    tree = _parsed(f"flows.recipes.{module}")
    for part in (*_parts(tree), module):
        here = _parsed(f"flows.recipes.{part}")
        found = {f.name: _first_line(f) for f in here.body if isinstance(f, ast.FunctionDef) and _is_recipe(f)}
        if found:
            yield _first_line(here), found


def corpus_kinds(*verbs: str) -> dict[str, str]:
    """The kinds whose readers have one of these functions, each with the first line of its docstring."""
    found = {}
    for path in sorted((ROOT / READERS.replace(".", "/")).glob("[!_]*.py")):
        tree = _parsed(f"{READERS}.{path.stem}")
        if any(isinstance(node, ast.FunctionDef) and node.name in verbs for node in tree.body):
            found[path.stem] = _first_line(tree)
    return found


def recipe_settings(recipe: str) -> list[Setting]:
    """The keys of a class of flows/recipes/__init__.py, those of configs within it under their names."""
    return list(_settings("flows.recipes", recipe, ""))


def config_settings(module: str, name: str) -> list[Setting]:
    """The same of any dataclass of the project."""
    return list(_settings(module, name, ""))


def literal_values(module: str, name: str) -> tuple[str, ...]:
    """The values of `name = Literal[...]` in a module."""
    value = _assigned(_parsed(module), name)
    if not isinstance(value, ast.Subscript):
        raise LookupError(f"{module} has no {name} = Literal[...]")
    return tuple(ast.literal_eval(value.slice))


def recipe_constants(module: str) -> tuple[str, str]:
    """What a corpus' reader must offer for the recipes of a module, and what their models are registered as."""
    value = _assigned(_parsed(f"flows.recipes.{module}"), "(VERB, MODEL_NAME)")
    if value is None:
        raise LookupError(f"flows.recipes.{module} has no VERB, MODEL_NAME")
    verb, name = ast.literal_eval(value)
    return verb, name


def module_line(module: str) -> str:
    """The first line of a module's docstring."""
    return _first_line(_parsed(module))


def module_description(module: str) -> str:
    return ast.get_docstring(_parsed(module)) or ""


def _settings(module: str, name: str, prefix: str) -> Iterator[Setting]:
    tree = _parsed(module)
    config = _class(tree, name)
    if config is None:
        raise LookupError(f"{module} has no class {name}")
    meanings = _meanings(config)
    for item in config.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        key = item.target.id
        inner = [found for n in ast.walk(item.annotation) if (found := _config_named(tree, module, n))]
        for place in inner:
            yield from _settings(*place, f"{prefix}{key}.")
        if not inner:
            kind = LITERAL.sub(lambda found: found[1].replace(", ", " | "), ast.unparse(item.annotation))
            yield Setting(f"{prefix}{key}", kind, _default(item.value), meanings.get(key, ""))


def _config_named(tree: ast.Module, module: str, node: ast.AST) -> tuple[str, str] | None:
    """The module and name of a dataclass of the project that an annotation names, None where it names another thing."""
    if not isinstance(node, ast.Name):
        return None
    place = _imports(tree).get(node.id, (module, node.id))
    if not _path(place[0]):
        return None
    found = _class(_parsed(place[0]), place[1])
    return place if found and any("dataclass" in ast.unparse(d) for d in found.decorator_list) else None


def _meanings(config: ast.ClassDef) -> dict[str, str]:
    """What a docstring says of each field, in the form `name, name: meaning. name: meaning.`"""
    names = [ast.unparse(item.target) for item in config.body if isinstance(item, ast.AnnAssign)]
    text = " ".join((ast.get_docstring(config) or "").split())
    known = "|".join(map(re.escape, names)) or "$^"
    heads = list(re.finditer(rf"(?:(?<=^)|(?<=[.;] )|(?<=\n))((?:{known})(?:, (?:{known}))*): ", text))
    found = {}
    for i, head in enumerate(heads):
        told = text[head.end() : heads[i + 1].start() if i + 1 < len(heads) else len(text)].strip()
        found |= dict.fromkeys(head[1].split(", "), told)
    return found


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {word.arg: word.value for word in value.keywords}
        value = given.get("default") or given.get("default_factory")
        if isinstance(value, ast.Lambda):
            value = value.body
        elif isinstance(value, ast.Name) and value.id in EMPTY:
            return EMPTY[value.id]
    return ast.unparse(value) if value is not None else ""


def _is_recipe(function: ast.FunctionDef) -> bool:
    returned = ast.unparse(function.returns) if function.returns else ""
    return returned.endswith("Recipe") and not function.name.startswith("_") and not function.args.args


def _parts(tree: ast.Module) -> list[str]:
    value = _assigned(tree, "PARTS")
    return [ast.unparse(item) for item in value.elts] if isinstance(value, ast.Tuple) else []


def _assigned(tree: ast.Module, target: str) -> ast.expr | None:
    """What a name, or several at once, stand for in a module."""
    assignments = (node for node in tree.body if isinstance(node, ast.Assign))
    return next((node.value for node in assignments if ast.unparse(node.targets[0]) == target), None)


def _imports(tree: ast.Module) -> dict[str, tuple[str, str]]:
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.asname or alias.name: (node.module or "", alias.name) for node in froms for alias in node.names}


def _class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _first_line(documented: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(documented) or "").partition("\n")[0]


@cache
def _parsed(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise LookupError(f"no module {module} in the project")
    return ast.parse(path.read_text(encoding="utf-8"))


def _path(module: str) -> Path | None:
    below = ROOT.joinpath(*module.split("."))
    return next((path for path in (below.with_suffix(".py"), below / "__init__.py") if path.is_file()), None)
