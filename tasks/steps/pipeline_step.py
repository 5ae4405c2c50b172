"""`@step`: a Prefect task whose result is an Artifact, skipped while inputs and code are those of an earlier run.

Prefect's own cache key holds the run's id, and its TASK_SOURCE sees only the task's own lines; ours is a hash of the
inputs (digests of artifacts, values of configs), of the project modules that the task really imports, but for the
machinery, and of the files beside these that they name. What a key made is noted beside the artifacts, so the memory is
wherever they are. Comments, docstrings and layout do not count as code.
"""

import ast
import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any, Generic, ParamSpec

from infra.artifact_store import Artifact, find_result, record_result
from infra.errors import UserError, explain_full_disk, redact_url
from infra.lock import hold_lock
from tasks.steps.in_process import is_in_process
from tasks.steps.progress import tell_if_silent

P = ParamSpec("P")
ROOT = Path(__file__).parents[2]
PROJECT = {"flows", "tasks", "models", "infra"}
# What runs, stores and shows a step's work, and decides none of its bytes: no change of it makes work again.
MACHINERY = ("infra", "tasks.steps")


class Resources:
    """Base of inputs that say how a task runs, not what it makes: they are not part of its key."""


class Step(Generic[P]):
    """Call it inside a flow; `fn` is the plain function, `key(...)` names what a call makes. Arguments by position."""

    def __init__(self, function: Callable[P, Artifact]) -> None:
        self.fn = function
        update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> Artifact:
        if is_in_process():
            return self._made(self.key(*arguments), *arguments)
        # Prefect hands out the value of a task that returns one, but the state of a task that returns a state.
        return self._task(*arguments, **named, return_state=True).result()

    def key(self, *arguments: Any) -> str:
        inputs = [canonical(a) for a in arguments if not isinstance(a, Resources)]
        modules = {self.fn.__module__}.union(*(code_modules(a) for a in arguments))
        told = json.dumps([self.fn.__qualname__, inputs, code_version(frozenset(modules))])
        return hashlib.sha256(told.encode()).hexdigest()

    def __reduce__(self) -> str:
        return self.fn.__qualname__  # a worker imports it from its module

    def _made(self, key: str, *arguments: Any) -> Artifact:
        """What an earlier run made, or what is made and remembered now."""
        function: Callable[..., Artifact] = self.fn  # P does not reach in here
        with hold_lock(key, self.fn.__name__), explain_full_disk(), tell_if_silent(self.fn.__name__):
            if found := find_result(key):  # of a run that had the lock until now, too
                return found
            artifact = function(*arguments)
            record_result(key, artifact, self.fn.__qualname__, find_artifacts(arguments))
        return artifact

    @cached_property
    def _task(self) -> Any:
        """Made at the first call: workers that import a step's module do not pay for importing Prefect."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE
        from prefect.states import Completed

        shorten_user_errors()

        def body(*arguments: Any) -> Any:
            key = self.key(*arguments)
            if found := find_result(key):
                return Completed(name="Cached", message=f"{found} from an earlier run", data=found)
            return self._made(key, *arguments)

        named: Any = task(name=self.fn.__name__, cache_policy=NO_CACHE, persist_result=False)
        return named(body)


def step(function: Callable[P, Artifact]) -> Step[P]:
    return Step(function)


def canonical(value: Any) -> Any:
    """A value as JSON that is equal for equal values only. Raises TypeError for what is not a value."""
    if isinstance(value, Artifact):
        return ["artifact", value.kind, value.digest]
    if is_dataclass(value) and not isinstance(value, type):
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        return [name, {f.name: canonical(getattr(value, f.name)) for f in fields(value)}]
    if isinstance(value, dict):
        return {str(k): canonical(v) for k, v in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a step takes artifacts and configs, not {type(value).__name__}")


def find_artifacts(value: Any) -> set[Artifact]:
    """The artifacts in an input: it itself, or in its fields and items."""
    if isinstance(value, Artifact):
        return {value}
    if is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, f.name) for f in fields(value)]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return set().union(*map(find_artifacts, items))


def code_modules(value: Any) -> set[str]:
    """The modules that an input brings: where its class is, what it names as `code`, and so on for its fields."""
    if not is_dataclass(value) or isinstance(value, type):
        return set().union(*map(code_modules, value)) if isinstance(value, list | tuple) else set()
    inner = (code_modules(getattr(value, f.name)) for f in fields(value))
    return {type(value).__module__, *getattr(value, "code", ())}.union(*inner)


def code_version(modules: frozenset[str]) -> list[tuple[str, str]]:
    """What of the project decides the bytes of a step in these modules: each module by the digest of its source."""
    return sorted((module, source_digest(module)) for module in import_closure(modules))


@cache
def import_closure(modules: frozenset[str]) -> frozenset[str]:
    """The project modules that these import, directly or not, also inside functions; none of the machinery."""
    seen, todo = set(), [m for m in modules if m.split(".")[0] in PROJECT]
    while todo:
        module = todo.pop()
        if module not in seen and not f"{module}.".startswith(tuple(f"{name}." for name in MACHINERY)):
            seen.add(module)
            todo += direct_imports(module)
    return frozenset(seen)


@cache
def direct_imports(module: str) -> tuple[str, ...]:
    found = []
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in found if name.split(".")[0] in PROJECT and _path(name))


@cache
def source_digest(module: str) -> str:
    tree = ast.parse(_source(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256("".join([ast.dump(tree), *_named_files(module, tree)]).encode()).hexdigest()


def _named_files(module: str, tree: ast.Module) -> list[str]:
    """The content of the files beside a module, a style or a script, whose names stand in it."""
    path = _path(module)
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = sorted(text for text in texts if re.fullmatch(r"[\w-]+\.(?!py$)\w+", text))
    files = [path.with_name(name) for name in names] if path else []
    return [file.read_text() for file in files if file.is_file()]


def _source(module: str) -> str:
    path = _path(module)
    return path.read_text() if path else ""


@cache
def _path(module: str) -> Path | None:
    """None for a name inside a module, as in `from models.interface import Beam`. To ask Python would import it."""
    place = ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def shorten_user_errors() -> None:
    """Prefect logs a failed run with its traceback; of a UserError the user should see the one line. Done once."""

    def shorten(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], UserError):
            record.msg, record.args, record.exc_info = redact_url(str(record.exc_info[1])), (), None
        return True

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(shorten)
