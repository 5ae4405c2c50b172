"""What tests of flows share: a Prefect server, and an archive's command in this process."""

import sys

import pytest


@pytest.fixture(scope="session")
def prefect_server():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture
def run_archive_command(monkeypatch, capsys):
    """Calls the `main` of a flow of archives, and this process' handlers of signals stay as they are; its status and
    what it says.
    """
    from flows.command_line import archive_command

    def run(flow, *arguments):
        monkeypatch.setattr(sys, "argv", [flow.__name__, *map(str, arguments)])
        monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
        status = 0
        try:
            flow.main()
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return status, said.out, said.err

    monkeypatch.setattr(archive_command, "force_exit_on_interrupt", lambda message: None)
    monkeypatch.setattr(archive_command.signal, "signal", lambda number, handler: None)
    return run
