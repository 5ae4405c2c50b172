"""Which steps make their work again when a line of a package has changed: those whose bytes it decides, and no
other.
"""

import ast
from pathlib import Path

import pytest

from tasks.steps import pipeline_step
from tasks.steps.pipeline_step import code_version, source_digest

ROOT = Path(__file__).parents[3]


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def steps():
    """Every function under @step, and its module."""
    found = {}
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and "step" in [ast.unparse(d) for d in node.decorator_list]:
                found[node.name] = dotted(path)
    return found


STEPS = steps()


@pytest.fixture
def change(monkeypatch):
    """`change("tasks.audio", "X = 1")`: the steps that work again once this line stands in each module of a package."""

    def versions():
        source_digest.cache_clear()
        return {name: code_version(frozenset({module})) for name, module in STEPS.items()}

    def run(package, line):
        before, real = versions(), pipeline_step._source
        with monkeypatch.context() as patch:
            inside = (package, f"{package}.")
            patch.setattr(
                pipeline_step, "_source", lambda m: real(m) + (f"\n{line}\n" if f"{m}.".startswith(inside[1]) else "")
            )
            after = versions()
        assert versions() == before
        return {name for name in STEPS if after[name] != before[name]}

    yield run
    source_digest.cache_clear()
