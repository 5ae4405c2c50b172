"""argparse as every command has it: descriptions as they are written, errors in one line."""

import argparse
import sys
from typing import NoReturn

from flows.shared.overrides import LARGEST
from infra.errors import WRONG_USE, end_unread


class Parser(argparse.ArgumentParser):
    """description, epilog: shown as they stand."""

    def __init__(self, description: str | None, epilog: str = "") -> None:
        kind = argparse.RawDescriptionHelpFormatter
        of_command = sys.argv[0] if " " in sys.argv[0] else None  # what `scriptorium` or `python -m` was asked for
        super().__init__(prog=of_command, description=description, epilog=epilog, formatter_class=kind)

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message} (see --help)\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        with end_unread():  # --help, of which only the first lines are read
            super().exit(status, message)
        raise SystemExit(status)


def parse_seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"whole numbers with a comma between them, not {text!r}") from error
    if not all(0 <= seed <= LARGEST for seed in seeds):
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 to {LARGEST}, not {text!r}")
    return seeds
