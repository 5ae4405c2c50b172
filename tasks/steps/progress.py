"""Progress of long work: a bar in a terminal; lines in a log, and in the log of a Prefect run, where its UI has a
progress artifact too.

Where there is no terminal a line comes when work begins, when it ends, and now and then in between, after ten seconds
at first and after five minutes of a long day; also while nothing moves, so that a silent step says what it is doing.
"""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from tqdm import tqdm

from infra.errors import redact_url, tell_user

REFRESH_SECONDS = 2.0  # the server need not hear of every step
FIRST_SECONDS, LATER_SECONDS = 10.0, 300.0  # between two lines
AT_ONCE_SECONDS = 0.01  # so young is work that has just begun
SHARE_SECONDS = 0.1  # of the time that has passed, which the pause grows with
MEGABYTES = "MB"


class Progress:
    """`with Progress("decode", 12) as progress: ... progress.advance()`; `note` stands behind the bar.

    unit: of the total, which then is told with it; MEGABYTES, or a plural. start: what was done before this process.
    """

    def __init__(self, label: str, total: float, unit: str = "", start: float = 0.0) -> None:
        self.label, self.total, self.unit, self.note = label, total, unit, ""
        self.start = self.done = min(start, total)
        layout = "{desc:<12} {percentage:3.0f}% |{bar:30}| {elapsed}<{remaining} {postfix}"
        drawn = {"file": sys.stderr, "bar_format": layout, "mininterval": 0.5, "leave": True, "initial": start}
        self.bar = tqdm(total=total, desc=label, **drawn) if sys.stderr.isatty() else None
        self.begun = self.restarted = self.shown = time.monotonic()
        self.artifact: UUID | None = None
        self._tell_server()
        self.lines = _Lines(self._line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tell_server()
        if self.bar is not None:
            self.bar.close()
        self.lines.close()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.reach(self.done + amount, note)

    def reach(self, done: float, note: str = "") -> None:
        """Set the amount done so far (at most the total)."""
        before, self.done, self.note = self.done, min(done, self.total), note
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(self.done - before)
        if time.monotonic() - self.shown > REFRESH_SECONDS:
            self._tell_server()

    def seconds_left(self) -> float | None:
        """At the pace of this process so far; None where nothing was done yet."""
        done, passed = self.done - self.start, time.monotonic() - self.restarted
        return passed * (self.total - self.done) / done if done > 0 else None

    def restart(self) -> None:
        """What was done and has passed until now does not count for the pace."""
        self.start, self.restarted = self.done, time.monotonic()

    def _line(self) -> str:
        passed, left = time.monotonic() - self.begun, self.seconds_left()
        told = [f"{self._percent():.0f}%", self._counts(passed), self.note.strip(" ,")]
        if self.done < self.total:
            told[1:1] = [f"about {format_seconds(left)} left"] if left is not None else []
        if passed > AT_ONCE_SECONDS or self.done == self.total:
            told.append(format_seconds(passed))
        return f"{self.label} {', '.join(filter(None, told))}"

    def _counts(self, passed: float) -> str:
        """What is done of what there is, and how fast."""
        if not self.unit:
            return ""
        digits = ",.1f" if self.unit == MEGABYTES else ",.0f"
        rate = (self.done - self.start) / max(passed, 1e-3)
        pace = f"{rate:.1f}/s" if rate >= 1 or self.unit == MEGABYTES else f"{60 * rate:.1f}/min"
        return f"{self.done:{digits}} of {self.total:{digits}} {self.unit}" + (f", {pace}" if rate else "")

    def _percent(self) -> float:
        return 100.0 * self.done / max(self.total, 1e-9)

    def _tell_server(self) -> None:
        """What Prefect's server does not take, because it is away, say, it gets the next time."""
        self.shown = time.monotonic()
        prefect = _prefect_in_run()
        if not prefect:
            return
        from httpx import HTTPError
        from prefect.exceptions import PrefectException

        try:
            if self.artifact is None:
                key = "progress-" + "".join(c if c.isalnum() else "-" for c in self.label.lower())
                how = {"key": key, "description": self.label}
                self.artifact = prefect.artifacts.create_progress_artifact(self._percent(), **how)
            else:
                prefect.artifacts.update_progress_artifact(self.artifact, self._percent())
        except (HTTPError, OSError, PrefectException) as error:
            if not _told_away:
                _told_away.append(str(error))
                tell_user(f"Prefect's server does not take the progress ({str(error)[:100]}); the work goes on without")
        else:
            _told_away.clear()


class _Lines:
    """What `line` gives, told now, now and then, and at the end, in the context of who asks for it. quiet: told only
    where nothing else was for so long.
    """

    def __init__(self, line: Any, *, quiet: bool = False) -> None:
        self.line, self.quiet, self.begun = line, quiet, time.monotonic()
        self.ended = threading.Event()
        if not quiet:
            tell(self.line())
        self.thread = threading.Thread(target=copy_context().run, args=(self._tell,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.ended.set()
        self.thread.join()
        if not self.quiet:
            tell(self.line())

    def _tell(self) -> None:
        while not self.ended.wait(self._pause()):
            if not self.quiet or time.monotonic() - _last_told[0] >= self._pause():
                tell(self.line())

    def _pause(self) -> float:
        return min(max(FIRST_SECONDS, SHARE_SECONDS * (time.monotonic() - self.begun)), LATER_SECONDS)


@contextmanager
def tell_if_silent(label: str) -> Iterator[None]:
    """A line now and then of work without a number, while nothing else is told."""
    begun = time.monotonic()
    lines = _Lines(lambda: f"{label} is at work, {format_seconds(time.monotonic() - begun)}", quiet=True)
    try:
        yield
    finally:
        lines.close()


def tell(line: str) -> None:
    """A line on stderr, unless that is a terminal, which has bars; and in the log of the Prefect run."""
    _last_told[0] = time.monotonic()
    if not sys.stderr.isatty():
        print(f"{line}\n", end="", file=sys.stderr, flush=True)  # in one piece, for two threads tell
    log_in_run(line)


def log_in_run(line: str) -> None:
    """Into the log of the Prefect run alone, if it is in one of a server that somebody may look at."""
    if (prefect := _prefect_in_run()) and prefect.settings.PREFECT_API_URL.value():
        log = logging.getLogger("prefect.extra.scriptorium")  # which has no handler but the one to the server
        log.setLevel(logging.INFO)
        log.info("%s", redact_url(line))


def format_seconds(seconds: float) -> str:
    """In the two units that say enough."""
    if seconds < 100:
        return f"{seconds:.{int(seconds < 10)}f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


_last_told = [0.0]
_told_away: list[str] = []  # a line an outage


def _prefect_in_run() -> Any:
    """Prefect where this code is inside one of its runs, else None; never the one to import it."""
    if "prefect" not in sys.modules:
        return None
    import prefect.artifacts
    import prefect.settings
    from prefect.context import FlowRunContext, TaskRunContext

    return prefect if FlowRunContext.get() or TaskRunContext.get() else None
