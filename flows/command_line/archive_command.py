"""The command of a flow over an archive: its arguments, its estimate, and how it ends."""

import json
import os
import signal
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from flows.command_line.parsers import PARSERS
from flows.shared.command_line import GOES_ON, start_flow
from flows.shared.validate_inputs import check_workers
from infra import storage
from infra.artifacts.artifact_root import check_root
from infra.errors import WRONG_USE, one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from infra.processes import end_orphans
from tasks.archives.report_archive import TooManyFailures

Result = dict[str, Any]


class ArchiveCommand(NamedTuple):
    """flow: that does it. formats: that it knows. settings: arguments that are settings too, with their keys. estimate:
    of the arguments, what the flow would begin with. text_estimate, text_summary: of that, and of the flow's result.
    """

    flow: Any
    formats: Sequence[str]
    settings: Mapping[str, str]
    estimate: Callable[[Namespace], Result]
    text_estimate: Callable[[Result], str]
    text_summary: Callable[[Result], str]


def run_archive_command(module: str, command: ArchiveCommand) -> None:
    """module: of the flow, such as flows.transcribe_archive."""
    given = _parse_arguments(module, command)
    end_orphans()
    force_exit_on_interrupt(GOES_ON)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    with one_line_errors(interrupted=GOES_ON):
        check_root()
        table = command.text_estimate if given.dry_run else command.text_summary
        show = partial(json.dumps, ensure_ascii=False) if given.json else table
        if given.dry_run:
            print(show(command.estimate(given)))
            return
        told = {name: getattr(given, name) for name in ("source", "output", "model", "formats", "workers")}
        try:
            print(show(start_flow(command.flow, told | {"settings": tuple(given.settings)})))
        except TooManyFailures as error:
            print(show(error.result))
            raise


def _parse_arguments(module: str, command: ArchiveCommand) -> Namespace:
    parser = PARSERS[module]()
    given = parser.parse_args()
    for name, key in command.settings.items():
        if value := getattr(given, name):
            given.settings.append(f"{key}={value}")
    given.formats = tuple(dict.fromkeys(filter(None, given.formats.lower().split(","))))
    if not given.formats or set(given.formats) - set(command.formats):
        parser.error(f"--formats {','.join(given.formats)}: write some of {','.join(command.formats)}")
    if given.workers < 1:
        parser.error("--workers: at least 1")
    with one_line_errors(WRONG_USE):
        check_workers(given.workers)
    if given.source and not storage.is_s3(given.source):
        given.source = os.path.abspath(given.source)
    return given
