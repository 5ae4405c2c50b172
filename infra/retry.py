"""A server that does not answer is waited for: exponential backoff with jitter, up to SCRIPTORIUM_PATIENCE seconds.

One line on stderr when a process begins to wait and one when the server answers again, however many threads ask it.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from infra.errors import tell_user
from infra.settings import settings

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 15.0  # between two tries; a lock's owner has to show itself more often
Answer = TypeVar("Answer")

_impatient = ContextVar("impatient", default=False)
_away: dict[str, float] = {}  # servers that are waited for, since when
_one_thread = threading.Lock()


@contextmanager
def without_patience() -> Iterator[None]:
    """Inside the block, and in this thread, no server is waited for: for what only shows progress."""
    token = _impatient.set(True)
    try:
        yield
    finally:
        _impatient.reset(token)


def retry_outages(act: Callable[[], Answer], is_outage: Callable[[Exception], bool], server: str) -> Answer:
    """What `act` returns, tried again while what it raises is an outage of the server. act: harmless to repeat.

    Raises its exception at once where that is no outage, and after SCRIPTORIUM_PATIENCE seconds where it is.
    """
    begun, pause = time.monotonic(), FIRST_SECONDS
    patience = 0.0 if _impatient.get() else settings().patience_seconds
    while True:
        try:
            answer = act()
        except Exception as error:
            waited = time.monotonic() - begun
            if not is_outage(error):
                raise
            if waited >= patience:
                if patience:
                    _away.pop(server, None)
                raise
            _tell_away(server, patience)
            time.sleep(min(pause * random.uniform(0.5, 1.0), patience - waited))
            pause = min(2 * pause, LONGEST_SECONDS)
            continue
        if _away:
            _tell_back(server)
        return answer


def _tell_away(server: str, patience: float) -> None:
    with _one_thread:
        if server in _away:
            return
        _away[server] = time.monotonic()
    tell_user(f"{server} does not answer; waiting for it, {patience:.0f} s at most")


def _tell_back(server: str) -> None:
    with _one_thread:
        since = _away.pop(server, None)
    if since is not None:
        tell_user(f"{server} answers again after {time.monotonic() - since:.0f} s")
