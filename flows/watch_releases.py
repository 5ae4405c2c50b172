"""A watched place looked at every minute: a release that appears there starts the deployment `retrain/on-release`.

    prefect deployment schedule resume watch-releases/every-minute, after its parameters are set in infra/prefect.yaml
    python -m flows.watch_releases /data/releases asr-fa fa

A look takes a second: names, sizes and times, no clip. What is new is started once; where that run died or failed,
again at the next looks, three times in all; while one goes on, nothing is started. Where an S3 server can send events,
an automation of Prefect's can run `retrain/on-release` at its webhook, and nobody needs to look.
"""

import argparse
import hashlib
import json
from typing import Annotated, Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags

from flows.command_line.form_fields import MODEL_NAME, form_field
from infra.errors import one_line_errors
from tasks.datasets.dataset_head import read_training_note
from tasks.datasets.find_releases import find_new_releases, parse_watched

DEPLOYMENT = "retrain/on-release"
TRIES = 3
SETTLE_SECONDS = 1.0  # the retraining looks again itself


@flow(name="watch-releases", flow_run_name="{watch}")
def watch_releases(
    watch: Annotated[str, form_field("Watched place", {"examples": ["s3://releases/commonvoice"]})],
    name: Annotated[str, MODEL_NAME] = "asr",
    locale: Annotated[str, form_field("Locale", {"examples": ["fa"]})] = "",
    dataset: Annotated[str, form_field("Data set", {})] = "",
    parameters: Annotated[dict[str, Any] | None, form_field("Of the retraining", {})] = None,
) -> dict[str, Any]:
    """Start a retraining where there is a release that the data set has not seen.

    Args:
        watch: a folder or s3:// prefix that releases are put into, as archives or folders; or KIND:URI.
        name: of the model that is retrained.
        locale: of the releases, such as fa.
        dataset: its name, empty for the model's.
        parameters: of the retraining besides, such as {"settings": ["promotion.metric=cer"]}.
    """
    known = dataset or name
    ready = find_new_releases(parse_watched(watch), known, locale, SETTLE_SECONDS).ready
    note = read_training_note(known, name)
    names = [release.name for release in ready]
    if note.request and not note.alias:
        names.append("a run that did not come to its end")
    if not names:
        return {"found": [], "started": ""}
    work = json.dumps([*(release.fingerprint for release in ready), note.data, note.alias])
    tag = f"releases-{hashlib.sha256(work.encode()).hexdigest()[:16]}"
    given = {"watch": watch, "name": name, "locale": locale} | (parameters or {})
    if dataset:
        given["settings"] = [*given.get("settings", ()), f"dataset={dataset}"]
    return {"found": names, "started": _start(tag, given)}


def _start(tag: str, given: dict[str, Any]) -> str:
    """The id of the run that is started, "" where one goes on, has ended well, or has ended TRIES times."""
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])))
        over = [run for run in found if run.state and (run.state.is_failed() or run.state.is_crashed())]
        if len(found) >= TRIES or len(over) < len(found):
            return ""
        key = f"{tag}-{len(found)}"  # two looks at the same time start one run
        deployment = client.read_deployment_by_name(DEPLOYMENT).id
        made = client.create_flow_run_from_deployment(deployment, parameters=given, tags=[tag], idempotency_key=key)
    return str(made.id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("watch", metavar="URI")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("locale", nargs="?", default="")
    with one_line_errors():
        print(json.dumps(watch_releases(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
