"""Progress of long work: a bar in a terminal, lines in a log, and in a Prefect run a progress artifact in its UI."""

import sys
import time
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from tqdm import tqdm

from infra.errors import tell_user

REFRESH_SECONDS = 2.0  # the server need not hear of every step
LINE_SECONDS = 30.0  # nor need a log


class Progress:
    """`with Progress("decode", 12) as progress: ... progress.advance()`; `note` stands behind the bar."""

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.done, self.note = label, total, 0.0, ""
        layout = "{desc:<12} {percentage:3.0f}% |{bar:30}| {elapsed}<{remaining} {postfix}"
        drawn = {"file": sys.stderr, "bar_format": layout, "mininterval": 0.5, "leave": True}
        # Without a terminal nothing is drawn over: a log gets lines.
        self.bar = tqdm(total=total, desc=label, **drawn) if sys.stderr.isatty() else None
        self.begun = self.shown = self.written = time.monotonic()
        self.line: tuple[float, str] | None = None  # what the last one said
        self.artifact: UUID | None = None
        self._tell_server()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tell_server()
        if self.bar is not None:
            self.bar.close()
        elif self.line != (self.done, self.note):
            self._write_line()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.reach(self.done + amount, note)

    def reach(self, done: float, note: str = "") -> None:
        """Set the amount done so far (at most the total)."""
        before, self.done, self.note = self.done, min(done, self.total), note
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(self.done - before)
        elif now - self.written > LINE_SECONDS:
            self._write_line()
        if now - self.shown > REFRESH_SECONDS:
            self._tell_server()

    def _write_line(self) -> None:
        self.written, self.line = time.monotonic(), (self.done, self.note)
        seconds = f"{self.written - self.begun:.0f} s"
        told = ", ".join(part for part in (f"{self._percent():.0f}% after {seconds}", self.note.strip(" ,")) if part)
        print(f"{self.label} {told}", file=sys.stderr, flush=True)

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


_told_away: list[str] = []  # a line an outage


def _prefect_in_run() -> Any:
    """Prefect where this code is inside one of its runs, else None; never the one to import it."""
    if "prefect" not in sys.modules:
        return None
    import prefect.artifacts
    from prefect.context import FlowRunContext, TaskRunContext

    return prefect if FlowRunContext.get() or TaskRunContext.get() else None
