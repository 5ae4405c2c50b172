"""The command line that every flow shares: checked before Prefect starts, one line for what is wrong."""

import argparse
import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from flows.command_line.parsers import PARSERS
from flows.shared.validate_inputs import check_workers, resolve_recipes
from infra import tracking
from infra.artifacts.artifact_root import check_root
from infra.errors import FAILED, WRONG_USE, UserError, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.lock import hold_file
from infra.processes import end_orphans
from infra.settings import settings
from tasks.corpora.corpus_uri import parse_corpus

GOES_ON = "interrupted; the same command goes on where this one stopped"


def training_arguments(flow: str, check: Callable[[argparse.Namespace], object]) -> argparse.Namespace:
    """The parsed command line of a training flow. check: of corpus and recipe, raises UserError."""
    return _parsed(flow, check)


def comparison_arguments(modules: Iterable[ModuleType]) -> argparse.Namespace:
    """The parsed command line of a comparison of recipes of these modules, checked."""
    return _parsed("compare", lambda given: resolve_recipes(given.corpus, given.names, given.settings, modules))


def model_arguments(flow: str, *verbs: str) -> argparse.Namespace:
    """The parsed command line of a flow that uses a trained model on a corpus, checked."""
    parsed = _parsed(flow, lambda given: parse_corpus(given.corpus, *verbs))
    for name in ("lm", "lexicon", "hotwords"):
        if value := vars(parsed).pop(name):
            parsed.settings.append(f"{name}={value}")
    return parsed


def _parsed(flow: str, check: Callable[[argparse.Namespace], object]) -> argparse.Namespace:
    """check: raises UserError for what cannot be."""
    parsed = PARSERS[f"flows.{flow}"]().parse_args()
    take_languages(parsed)
    with one_line_errors(WRONG_USE):
        check(parsed)
        if "workers" in parsed:
            check_workers(parsed.workers)
        if "model_name" in parsed:
            tracking.check_registration(parsed.model_name or "model", parsed.alias)  # "": a name that is one already
    return parsed


def take_languages(parsed: argparse.Namespace) -> None:
    """Those of a corpus of sentence pairs, where there are any, become settings."""
    for side in ("source", "target"):
        if language := vars(parsed).pop(f"{side}_language", ""):
            parsed.settings.append(f"ingest.{side}_language={language}")


def run_flow(flow: Any, parsed: argparse.Namespace) -> None:
    """Run a flow with the parsed arguments, print its table or JSON. Status 1: something failed, 130: interrupted."""
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    with one_line_errors(WRONG_USE, interrupted=GOES_ON):
        check_root()
    from flows.shared.run_summary import text_table  # imports Prefect, which a refused command need not wait for

    given = {name: value for name, value in vars(parsed).items() if name != "json"}
    with one_line_errors(interrupted=GOES_ON):
        result = start_flow(flow, given)
        print(text_table(result))
        if parsed.json:
            print(json.dumps(result, ensure_ascii=False))
    if result.get("failed"):
        raise SystemExit(FAILED)


def start_flow(flow: Any, given: dict[str, Any]) -> Any:
    """Run a flow. Prefect's own server, which each run starts where none is named, makes its tables at its first start,
    and two of them at once would be in each other's way. Raises UserError for a path that is not UTF-8, which Prefect
    cannot keep.
    """
    for name, value in given.items():
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and not text.isascii() and text != text.encode(errors="ignore").decode():
                shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
                raise UserError(f"{name} {shown}: is not UTF-8; name the folder above it, or a link to it")
    with ExitStack() as starting:
        if not settings().prefect_api:
            from prefect.settings import PREFECT_HOME

            starting.enter_context(hold_file(Path(PREFECT_HOME.value()) / "starting.lock"))

        def started(*_: object) -> None:
            starting.close()

        return flow.with_options(on_running=[started])(**given)
