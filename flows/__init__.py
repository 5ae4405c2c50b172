"""Pipelines: one file a flow, which reads as the DAG; recipes in flows/recipes/."""

import sys

from infra.keyboard_interrupt import quiet_interrupt
from infra.settings import set_defaults

if sys.argv[:1] == ["-m"]:  # `python -m flows...` is being imported, which takes seconds
    quiet_interrupt()
    if {"-h", "--help"} & set(sys.argv):
        from flows.command_line.commands import show_help

        show_help(sys.orig_argv[sys.orig_argv.index("-m") + 1], sys.argv[1:])

# Prefect reads its settings when it is imported, so they are here, before any flow imports it.
set_defaults(
    {
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
    }
)
