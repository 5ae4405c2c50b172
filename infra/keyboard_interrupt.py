"""Ctrl-C: it ends a command the usual way where that is quick, and by force where it is not.

Prefect, once interrupted, reports to a server which the same Ctrl-C has ended, for a minute and more. Force loses
nothing: what is half done is not read, and the same command goes on from it.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from infra import processes
from infra.errors import INTERRUPTED

PATIENCE_SECONDS = 10.0


def quiet_interrupt() -> None:
    """From now on a Ctrl-C that nothing catches, as while a command is still being imported, is told in one line."""

    def told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("scriptorium: interrupted", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = told


def force_exit_on_interrupt(message: str) -> None:
    """From now on the first Ctrl-C raises KeyboardInterrupt and, if the process is still there some seconds later,
    ends it and all it started with `message` and status 130; a second Ctrl-C does so at once.
    """

    def force() -> None:
        print(f"scriptorium: {message}", file=sys.stderr, flush=True)
        processes.kill_descendants()
        os._exit(INTERRUPTED)

    def first(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, lambda *_: force())
        logging.disable()  # what libraries have to say about it is long, and nothing to act on
        timer = threading.Timer(PATIENCE_SECONDS, force)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, first)


class Interrupt:
    """Whether Ctrl-C has come. reader: a file descriptor that wakes who waits for it, with a byte for each signal,
    whichever thread it comes to.
    """

    def __init__(self) -> None:
        self.seen = False
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)

    def note(self, _number: int, _frame: FrameType | None) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True
        os.write(self.writer, b"x")


@contextmanager
def note_interrupt() -> Iterator[Interrupt]:
    """Within, the first Ctrl-C is noted and interrupts nothing; the second raises KeyboardInterrupt."""
    found = Interrupt()
    before, woken = signal.signal(signal.SIGINT, found.note), signal.set_wakeup_fd(found.writer)
    try:
        yield found
    finally:
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGINT, before)
        os.close(found.reader)
        os.close(found.writer)
