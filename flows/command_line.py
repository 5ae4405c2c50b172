"""The command line that every flow shares: checked before Prefect starts, one line for what is wrong."""

import argparse
import json
import sys
from types import ModuleType
from typing import Any

from flows.start import chosen, recipes
from infra.problem import Problem


def arguments(description: str | None, module: ModuleType) -> argparse.Namespace:
    """The parsed command line of a training flow, corpus and recipe checked."""
    lines = [f"  {name:<34}{line}" for name, line in recipes(module).items()]
    parser = Parser(description=description, epilog="recipes:\n" + "\n".join(lines))
    parser.add_argument("--corpus", required=True, metavar="KIND:URI")
    parser.add_argument("--recipe", required=True, metavar="NAME")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, default=1, help="Ray Train workers (0: in this process)")
    parser.add_argument("--model-name", default="asr", help="registered in MLflow as")
    parser.add_argument("--alias", default="champion")
    parser.add_argument("--json", action="store_true", help="the last line is the result as JSON")
    parsed = parser.parse_args()
    refuse_early(lambda: chosen(parsed.corpus, parsed.recipe, parsed.settings, module))
    return parsed


class Parser(argparse.ArgumentParser):
    """argparse with descriptions as written, and errors in one line."""

    def __init__(self, description: str | None, epilog: str = "") -> None:
        kind = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, epilog=epilog, formatter_class=kind)

    def error(self, message: str) -> Any:
        print(f"{self.prog}: {message} (see --help)", file=sys.stderr)
        raise SystemExit(2)


def refuse_early(check: Any) -> None:
    """Run a check that may raise Problem; show its line and end with status 2."""
    try:
        check()
    except Problem as problem:
        print(f"scriptorium: {problem}", file=sys.stderr)
        raise SystemExit(2) from None


def run(flow: Any, parsed: argparse.Namespace) -> None:
    """Run a flow with the parsed arguments, print its table or JSON. Status 1: failed, 130: interrupted."""
    from flows.results import table  # noqa: PLC0415  (imports Prefect, which a refused command need not wait for)

    given = {name: value for name, value in vars(parsed).items() if name != "json"}
    try:
        result = flow(**given)
    except Problem as problem:
        print(f"scriptorium: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("scriptorium: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        raise SystemExit(130) from None
    print(table(result))
    if parsed.json:
        print(json.dumps(result, ensure_ascii=False))
