"""What the user can mend: one exception whose message says how, and the one line that a command ends with."""

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

FAILED, WRONG_USE, INTERRUPTED, UNREAD = 1, 2, 130, 141  # exit statuses; the last as of a program that SIGPIPE ends


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
def one_line_errors(status: int = FAILED, *, interrupted: str = "interrupted") -> Iterator[None]:
    """For a command line: a UserError or Ctrl-C ends the process with one line on stderr and an exit status, and that
    nobody reads on (`| head -1`) without a word.
    """
    with end_unread():
        try:
            yield
        except UserError as problem:
            print(f"scriptorium: {problem}", file=sys.stderr)
            raise SystemExit(status) from None
        except KeyboardInterrupt:
            print(f"scriptorium: {interrupted}", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None


@contextmanager
def end_unread() -> Iterator[None]:
    """Where the pipe that is written to is closed, the process ends without a word.

    SIGPIPE would do so as well, but by a server that closes its connection, too.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout:  # none where it was closed before Python began
                sys.stdout.flush()
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if stream and _is_closed(stream)]
        if not closed:  # it was another's pipe
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:  # which Python flushes when it ends
            os.dup2(nowhere, stream.fileno())
        raise SystemExit(UNREAD) from None


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
