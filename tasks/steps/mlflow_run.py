"""An MLflow run that is open while a block of work goes on, and the curves that it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infra import tracking
from infra.retry import attempt


@contextmanager
def mlflow_run(key: str, run_name: str, tags: dict[str, str]) -> Iterator[str]:
    """The id of the MLflow run of this key, "" for none; marked as failed or killed if the block is."""
    run_id = tracking.open_run(key, run_name, tags) if run_name else ""
    try:
        yield run_id
    except BaseException as error:
        if run_id:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            attempt(lambda: tracking.finish(run_id, status, reason))
        raise


def history_rows(history: list[dict[str, Any]]) -> list[tuple[str, float, int]]:
    """The numbers of a history by name and epoch."""
    numbers = [(row, {name: value for name, value in row.items() if not isinstance(value, str)}) for row in history]
    return [(name, float(value), int(row["epoch"])) for row, found in numbers for name, value in found.items()]
