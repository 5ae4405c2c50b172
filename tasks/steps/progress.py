"""Progress of long work: a bar in the terminal and, inside a Prefect run, a progress artifact in its UI."""

import sys
import time
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from tqdm import tqdm

REFRESH_SECONDS = 2.0  # the server need not hear of every step


class Progress:
    """`with Progress("decode", 12) as progress: ... progress.advance()`; `note` stands behind the bar."""

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.done = label, total, 0.0
        layout = "{desc:<12} {percentage:3.0f}% |{bar:30}| {elapsed}<{remaining} {postfix}"
        self.bar = tqdm(total=total, desc=label, file=sys.stderr, bar_format=layout, mininterval=0.5, leave=True)
        self.shown = 0.0
        self.artifact: UUID | None = None
        prefect = _prefect_in_run()
        if prefect:
            key = "progress-" + "".join(c if c.isalnum() else "-" for c in label.lower())
            self.artifact = prefect.artifacts.create_progress_artifact(0.0, key=key, description=label)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tell_server()
        self.bar.close()

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.reach(self.done + amount, note)

    def reach(self, done: float, note: str = "") -> None:
        """Set the amount done so far (at most the total)."""
        done = min(done, self.total)
        self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(done - self.done)
        self.done = done
        if time.monotonic() - self.shown > REFRESH_SECONDS:
            self._tell_server()

    def _tell_server(self) -> None:
        self.shown = time.monotonic()
        prefect = _prefect_in_run()
        if prefect and self.artifact:
            prefect.artifacts.update_progress_artifact(self.artifact, 100.0 * self.done / max(self.total, 1e-9))


def _prefect_in_run() -> Any:
    """Prefect where this code is inside one of its runs, else None; never the one to import it."""
    if "prefect" not in sys.modules:
        return None
    import prefect.artifacts
    from prefect.context import FlowRunContext, TaskRunContext

    return prefect if FlowRunContext.get() or TaskRunContext.get() else None
