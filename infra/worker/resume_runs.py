"""Flow runs that a worker took with it when it ended: given to the one that starts now.

    python -m infra.worker.resume_runs --pool local

Prefect's record goes on calling them running. Each is scheduled again under its own id, and goes on from what it has
done. For a pool that has one worker: those of a second one would be started twice.
"""

import argparse
import json
import urllib.error
import urllib.request
from typing import Any

from infra.errors import UserError, one_line_errors, redact_url
from infra.retry import retry_outages
from infra.settings import settings

LOST = ["RUNNING", "PENDING", "CANCELLING"]
AGAIN = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "its worker was started anew; it goes on"}
ENDED = {"type": "CANCELLED", "name": "Cancelled", "message": "its worker ended before it was asked to"}


def resume_runs(api: str, pool: str) -> list[str]:
    """Names of the runs that are scheduled again. Raises UserError where no server answers."""
    wanted = {"flow_runs": {"state": {"type": {"any_": LOST}}}, "work_pools": {"name": {"any_": [pool]}}}
    resumed = []
    for run in _ask(f"{api}/flow_runs/filter", wanted):
        state = ENDED if run["state_type"] == "CANCELLING" else AGAIN
        answer = _ask(f"{api}/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        if answer["status"] != "ACCEPT":
            raise UserError(f"the run {run['name']} cannot be {state['name']}: {answer['details'].get('reason')}")
        if state is AGAIN:
            resumed.append(run["name"])
    return resumed


def _ask(url: str, question: dict[str, Any]) -> Any:
    """What the server answers to a POST of JSON. A server that is away is waited for."""
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})

    def answer() -> Any:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    try:
        return retry_outages(answer, _is_outage, f"the Prefect server at {redact_url(url)}")
    except (urllib.error.URLError, OSError) as error:
        raise UserError(f"no Prefect server answers at {redact_url(url)}: {error}") from error


def _is_outage(error: Exception) -> bool:
    refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
    return isinstance(error, OSError) and not refused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", default="local")
    given = parser.parse_args()
    with one_line_errors():
        if not settings().prefect_api:
            raise UserError("PREFECT_API_URL is not set: it names the Prefect server")
        for name in resume_runs(settings().prefect_api, given.pool):
            print(f"{name} goes on", flush=True)


if __name__ == "__main__":
    main()
