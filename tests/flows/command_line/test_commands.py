"""The command `scriptorium`: what it lists is there, what it says is what the code has, and it says it at once."""

import importlib
import os
import subprocess
import sys
import typing
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

import pytest

from flows import recipes
from flows.command_line.commands import COMMANDS, MODULES, help_text
from flows.command_line.parsers import PARSERS, RECIPE_CLASSES
from flows.command_line.recipes import recipe_text
from flows.command_line.source_help import (
    corpus_kinds,
    literal_values,
    recipe_constants,
    recipe_settings,
    recipes_by_purpose,
)
from flows.shared.validate_inputs import list_recipes
from infra.errors import UserError
from tasks.corpora import corpus_uri

ROOT = Path(__file__).parent.parent.parent.parent
HEAVY = """
import sys
sys.argv = ["scriptorium", *sys.argv[1:]]
try:
    from flows.__main__ import main
    main()
finally:
    print(sorted({"torch", "prefect", "mlflow", "ray", "numpy"} & sys.modules.keys()), file=sys.stderr)
"""


def run(*arguments, cwd=None):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HEAVY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def test_every_command_is_listed_with_a_line_and_is_there():
    told = help_text()
    for group, commands in COMMANDS.items():
        assert f"{group}:" in told
        for name, module in commands.items():
            line = next(line for line in told.splitlines() if line.startswith(f"  {name} "))
            assert len(line.split(maxsplit=1)[1]) > 10
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file() or (ROOT / module.replace(".", "/")).is_dir()


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name, m in MODULES.items() if m in PARSERS)])
def test_help_imports_nothing_that_takes_long(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "scriptorium" in done.stdout


def test_help_beside_folders_of_the_same_names(tmp_path):
    for name in ("models", "tasks", "infra", "flows"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    script = f"import sys; sys.path = [{str(ROOT)!r}, *filter(None, sys.path)]\n" + HEAVY
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "train-asr", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    assert done.returncode == 0
    assert "asr_small" in done.stdout


def test_a_command_that_there_is_not():
    done = run("trian-asr")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "scriptorium: no command 'trian-asr'; did you mean train-asr?"


@pytest.mark.parametrize("module", RECIPE_CLASSES)
def test_recipes_read_from_the_source_are_those_there_are(module):
    code = importlib.import_module(f"flows.recipes.{module}")
    assert {name: line for _, found in recipes_by_purpose(module) for name, line in found.items()} == list_recipes(code)
    assert recipe_constants(module) == (code.VERB, code.MODEL_NAME)


def test_what_help_takes_of_a_docstring_is_whole():
    """Kinds and recipes are told by the first line, which must not break off within a sentence."""
    lines = corpus_kinds("utterances", "labeled", "documents")
    lines |= {n: line for m in RECIPE_CLASSES for _, found in recipes_by_purpose(m) for n, line in found.items()}
    lines |= {name: line.split(maxsplit=1)[1] for name in MODULES for line in help_text().splitlines() if name in line}
    assert [(name, line) for name, line in lines.items() if not line.endswith(".")] == []


def test_keys_of_which_the_same_is_said_stand_together():
    told = PARSERS["flows.train_asr"]().format_help()
    assert told.count("clips outside are rejected") == 1
    assert told.index("ingest.min_seconds=") < told.index("ingest.max_seconds=") < told.index("clips outside")


@pytest.mark.parametrize("verb", ["utterances", "labeled", "documents"])
def test_kinds_read_from_the_source_are_those_there_are(verb):
    assert list(corpus_kinds(verb)) == corpus_uri.corpus_kinds(verb)


def keys(kind, prefix=""):
    """Every key of a config's class, by its type hints."""
    hints = typing.get_type_hints(kind)
    for f in fields(kind):
        inner = [k for k in (hints[f.name], *typing.get_args(hints[f.name])) if is_dataclass(k)]
        if not inner:
            yield prefix + f.name, f
        for config in inner:
            yield from keys(config, f"{prefix}{f.name}.")


@pytest.mark.parametrize("name", RECIPE_CLASSES.values())
def test_keys_read_from_the_source_are_those_there_are(name):
    found = {setting.key: setting for setting in recipe_settings(name)}
    expected = dict(keys(getattr(recipes, name)))
    assert found.keys() == expected.keys()
    for key, field in expected.items():
        assert found[key].meaning, f"{key}: say in the docstring of its config what it is"
        assert found[key].default not in {"dict", "list", "tuple"}
        if field.default is not MISSING and isinstance(field.default, int | float | str):
            assert found[key].default in {repr(field.default), found[key].default}
            if found[key].default[:1].isdigit():
                assert float(found[key].default) == field.default


def test_a_recipe_whole():
    told = recipe_text("asr_small")
    assert "scriptorium train-asr --recipe asr_small" in told
    assert "* model.hidden_size=160" in told
    assert "  fit.seed=0" in told
    with pytest.raises(UserError, match="did you mean asr_small"):
        recipe_text("asr_smal")


def test_values_of_a_literal():
    assert literal_values("tasks.publishing.export_corpus", "Format") == ("webdataset", "nemo", "csv", "lhotse")


@pytest.mark.parametrize("module", PARSERS)
def test_every_parser_is_made(module):
    assert PARSERS[module]().format_help()
