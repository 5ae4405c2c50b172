"""What the user can mend: one exception whose message says how, and the one line that a command ends with."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from infra.settings import redact_url

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130  # exit statuses


class UserError(Exception):  # noqa: N818  (not an error of the program: something the user can mend)
    """One line saying what is wrong, where, and what to do. Shown to the user without a traceback."""


def tell_user(line: str) -> None:
    """A line on stderr while work goes on, clear of a progress bar there may be in a terminal."""
    start = "\n" if sys.stderr.isatty() else ""
    print(f"{start}scriptorium: {line}", file=sys.stderr, flush=True)


@contextmanager
def explain_full_disk(what: str = "") -> Iterator[None]:
    """Turn "no space left on device" into a UserError: while writing what (by default the file), and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        place = what or error.filename or "a file"
        raise UserError(f"the disk is full while writing {place}; make room and run the same command again") from error


@contextmanager
def explain_bad_file(place: str) -> Iterator[None]:
    """Turn whatever comes of what is in a file, which may be anything, into a UserError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno:  # of the machine, not of the content
            raise
        raise _bad_file(place, error) from error
    except UserError as error:
        if place in str(error):
            raise
        raise UserError(f"{place}: {error}") from error
    except Exception as error:
        raise _bad_file(place, error) from error


def _bad_file(place: str, error: Exception) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    reason = lines[0][:200] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0][:200]}"
    return UserError(f"{place} cannot be used ({reason}); fetch it again, or use the version that made it")


@contextmanager
def one_line_errors(status: int = FAILED, *, interrupted: str = "interrupted") -> Iterator[None]:
    """For a command line: a UserError or Ctrl-C ends the process with one line on stderr and an exit status."""
    try:
        yield
    except UserError as problem:
        print(f"scriptorium: {redact_url(str(problem))}", file=sys.stderr)
        raise SystemExit(status) from None
    except KeyboardInterrupt:
        print(f"scriptorium: {interrupted}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
