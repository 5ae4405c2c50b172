"""Flows through their deployments, as a user starts them: `prefect deployment run NAME --watch` beside the worker."""

import json
import time
from typing import Any

from infra.errors import UserError
from infra.staging.cluster import BUCKET, Cluster
from infra.staging.inputs import LOCALE, RELEASES

FIRST = next(iter(RELEASES))
# A network that is quick rather than good, and epochs enough for something to happen between two.
SMALL = ["fit.epochs=10", "model.hidden_size=32", "model.layers=1", "features.mels=20", "beam.width=1"]
TRAINING = (
    "train-asr/local",
    {"corpus": f"commonvoice:s3://{BUCKET}/releases/{FIRST}/{LOCALE}", "settings": SMALL, "workers": 2},
)
FLOWS: tuple[tuple[str, dict[str, Any]], ...] = (
    TRAINING,
    (
        "transcribe-archive/local",
        {"source": f"s3://{BUCKET}/recordings", "output": f"s3://{BUCKET}/transcripts", "workers": 2},
    ),
    (
        "retrain/on-release",
        {
            "watch": f"s3://{BUCKET}/releases",
            "name": "asr",
            "locale": LOCALE,
            "workers": 2,
            "settings": ["dataset=demo", "fit.epochs=1", "settle_seconds=0.5", "promotion.min_utterances=10"],
        },
    ),
)


def run_flows(cluster: Cluster) -> None:
    """Raises UserError for the first that is not green."""
    for name, parameters in FLOWS:
        run_deployment(cluster, name, parameters)


def run_deployment(cluster: Cluster, name: str, parameters: dict[str, Any]) -> None:
    """Raises UserError where it does not end well."""
    start, log = time.monotonic(), cluster.log(name.replace("/", "-"))
    command = ["prefect", "deployment", "run", name, "--watch", *name_parameters(parameters)]
    with log.open("a") as said, cluster.run("worker", command) as run:
        for line in run.stdout or ():
            said.write(line)
            said.flush()
    seconds = time.monotonic() - start
    if run.returncode:
        raise UserError(f"{name} is not green after {seconds:.0f} s; see {log} and {cluster.log('worker')}")
    print(f"{name:<30} green     {seconds:5.0f} s", flush=True)


def name_parameters(parameters: dict[str, Any]) -> list[str]:
    """As options of `prefect deployment run`."""
    return [part for key, value in parameters.items() for part in ("--param", f"{key}={json.dumps(value)}")]
