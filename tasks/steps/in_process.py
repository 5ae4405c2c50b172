"""Steps and jobs in this process, one after the other, without Prefect and Ray: for what is one job of many itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ALONE = ContextVar("alone", default=False)


@contextmanager
def run_in_process() -> Iterator[None]:
    """Inside the block steps are still remembered and recalled, and `run_jobs` does its jobs here."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def is_in_process() -> bool:
    return _ALONE.get()
