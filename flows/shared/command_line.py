"""The command line that every flow shares: checked before Prefect starts, one line for what is wrong."""

import argparse
import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from flows.shared.overrides import LARGEST
from flows.shared.validate_inputs import check_workers, describe_recipes, resolve_recipe, resolve_recipes
from infra import tracking
from infra.artifacts.artifact_root import check_root
from infra.errors import FAILED, WRONG_USE, end_unread, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.lock import hold_file
from infra.processes import end_orphans
from infra.settings import settings
from tasks.corpora.corpus_uri import parse_corpus

GOES_ON = "interrupted; the same command goes on where this one stopped"


def training_arguments(description: str | None, module: ModuleType, *, workers: bool = True) -> argparse.Namespace:
    """The parsed command line of a training flow, corpus and recipe checked. workers: whether Ray Train has any."""
    parser = _recipe_parser(description, [module])
    parser.add_argument("--recipe", required=True, metavar="NAME")
    if workers:
        parser.add_argument("--workers", type=int, default=1, help="Ray Train workers (0: in this process)")
    parser.add_argument("--model-name", default=module.MODEL_NAME, help="registered in MLflow as")
    parser.add_argument("--alias", default="champion")
    return _parsed(parser, lambda given: resolve_recipe(given.corpus, given.recipe, given.settings, module))


def comparison_arguments(description: str | None, modules: Iterable[ModuleType]) -> argparse.Namespace:
    """The parsed command line of a comparison of recipes of these modules, checked."""
    parser = _recipe_parser(description, modules)
    parser.add_argument("--recipes", required=True, dest="names", metavar="NAME[,NAME...]")
    parser.add_argument("--seeds", type=_seeds, default=(0,), metavar="0,1", help="each recipe is trained with each")
    return _parsed(parser, lambda given: resolve_recipes(given.corpus, given.names, given.settings, modules))


def model_arguments(parser: "Parser", split: str, *verbs: str) -> argparse.Namespace:
    """The parsed command line of a flow that uses a trained model on a corpus, checked. split: the default."""
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    parser.add_argument("--split", default=split, choices=("train", "dev", "test"))
    parser.add_argument(
        "--lm", metavar="NAME@ALIAS|PATH", help="a language model, or an ARPA file; the same as --set lm="
    )
    parser.add_argument("--lexicon", metavar="FILE", help="the words there are, one a line; --set lexicon=")
    parser.add_argument("--hotwords", metavar="WORD[,WORD...]", help="words to listen for; --set hotwords=")
    parsed = _parsed(parser, lambda given: parse_corpus(given.corpus, *verbs))
    for name in ("lm", "lexicon", "hotwords"):
        if value := vars(parsed).pop(name):
            parsed.settings.append(f"{name}={value}")
    return parsed


def _recipe_parser(description: str | None, modules: Iterable[ModuleType]) -> "Parser":
    """That lists the recipes of the modules, and takes a corpus."""
    listed = "\n".join(map(describe_recipes, modules))
    parser = Parser(description=description, epilog=f"recipes, by what they are for:\n{listed}")
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    return parser


def _parsed(parser: "Parser", check: Callable[[argparse.Namespace], object]) -> argparse.Namespace:
    """With what every flow takes. check: raises UserError for what cannot be."""
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    parsed = parser.parse_args()
    with one_line_errors(WRONG_USE):
        check(parsed)
        if "workers" in parsed:
            check_workers(parsed.workers)
        if "model_name" in parsed:
            tracking.check_registration(parsed.model_name, parsed.alias)
    return parsed


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"whole numbers with a comma between them, not {text!r}") from error
    if not all(0 <= seed <= LARGEST for seed in seeds):
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 to {LARGEST}, not {text!r}")
    return seeds


class Parser(argparse.ArgumentParser):
    """argparse with descriptions as written, and errors in one line."""

    def __init__(self, description: str | None, epilog: str = "") -> None:
        kind = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, epilog=epilog, formatter_class=kind)

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see --help)\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        with end_unread():  # --help, of which only the first lines are read
            super().exit(status, message)
        raise SystemExit(status)


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
    and two of them at once would be in each other's way.
    """
    with ExitStack() as starting:
        if not settings().prefect_api:
            from prefect.settings import PREFECT_HOME

            starting.enter_context(hold_file(Path(PREFECT_HOME.value()) / "starting.lock"))

        def started(*_: object) -> None:
            starting.close()

        return flow.with_options(on_running=[started])(**given)
