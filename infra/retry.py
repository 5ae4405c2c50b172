"""A server that does not answer is waited for: exponential backoff with jitter, up to SCRIPTORIUM_PATIENCE seconds.

One line on stderr when a process begins to wait and one when the server answers again, however many threads ask it.
"""

import random
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from infra.errors import UserError, tell_user
from infra.settings import settings

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 15.0  # between two tries; a lock's owner has to show itself more often
Answer = TypeVar("Answer")

_impatient = ContextVar("impatient", default=False)
_away: dict[str, float] = {}  # servers that are waited for, since when
_one_thread = threading.Lock()


def attempt(show: Callable[[], object]) -> bool:
    """Do what only shows progress; whether it could be done. A server that is away is not waited for, nor an error."""
    token = _impatient.set(True)
    try:
        show()
    except UserError:
        return False
    finally:
        _impatient.reset(token)
    return True


def retry_outages(act: Callable[[], Answer], is_outage: Callable[[Exception], bool], server: str) -> Answer:
    """What `act` returns, tried again while what it raises is an outage of the server. act: harmless to repeat.

    Raises its exception at once where that is no outage, and after SCRIPTORIUM_PATIENCE seconds where it is.
    """
    begun, pause = time.monotonic(), FIRST_SECONDS
    patience = 0.0 if _impatient.get() else settings().patience_seconds
    while True:
        try:
            answer = act()
        except Exception as error:  # is_outage says which; the others are raised again
            waited = time.monotonic() - begun
            if isinstance(error, UserError) or not is_outage(error):  # a UserError has been waited for
                raise
            _tell_away(server, f"waiting for it, {patience:.0f} s at most" if patience else "its progress is not shown")
            if waited >= patience:
                raise
            # a server that comes back is not asked by all at once
            time.sleep(min(pause * random.uniform(0.5, 1.0), patience - waited))
            pause = min(2 * pause, LONGEST_SECONDS)
            continue
        if _away:
            _tell_back(server)
        return answer


def _tell_away(server: str, what: str) -> None:
    with _one_thread:
        if server in _away:
            return
        _away[server] = time.monotonic()
    tell_user(f"{server} does not answer; {what}")


def _tell_back(server: str) -> None:
    with _one_thread:
        since = _away.pop(server, None)
    if since is not None:
        tell_user(f"{server} answers again after {time.monotonic() - since:.0f} s")
