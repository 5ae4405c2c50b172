"""What goes wrong in a team's week, while a flow trains: everything is there again afterwards, with the same digests.

Each training has a root of its own in the bucket, so that it makes everything anew. What it makes is held against what
the undisturbed one made: the digest of an artifact is that of its bytes.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.artifact_store import DRAFTS
from infra.errors import UserError
from infra.staging.cluster import BUCKET, Cluster
from infra.staging.flow_runs import TRAINING, name_parameters

AWAY_SECONDS = 15  # that the database is gone
PATIENCE_SECONDS = 1200  # for a training to begin, and to end
POLL_SECONDS = 1  # between two looks how far a training or a run is
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
COMPARED = {"shards", "features", "tokenizer", "bundle", "transcripts", "scores"}  # a report holds how long it took
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=30).read().decode())"


def run_faults(cluster: Cluster) -> None:
    """Raises UserError for the first after which something is missing, or other than it should be."""
    undisturbed = made_artifacts(cluster.bucket / "artifacts")
    for fault in (upgrade, stop_database, lose_node):
        run_fault(cluster, fault, undisturbed)


def run_fault(cluster: Cluster, fault: Callable[[Cluster], None], undisturbed: set[str]) -> None:
    start, name = time.monotonic(), fault.__name__
    run = start_run(cluster, TRAINING[0], TRAINING[1] | {"model_name": name}, name)
    await_training(cluster, run, cluster.bucket / name)
    fault(cluster)
    await_green(cluster, run)
    compare(undisturbed, made_artifacts(cluster.bucket / name))
    print(f"{fault.__doc__:<30} green     {time.monotonic() - start:5.0f} s, same digests", flush=True)


def upgrade(cluster: Cluster) -> None:
    """upgrade while it trains"""
    cluster.stop("worker")
    later = start_run(cluster, TRAINING[0], TRAINING[1] | {"model_name": "waited"}, "artifacts")  # nobody takes it yet
    for name in ("mlflow", "prefect"):
        cluster.stop(name)
    cluster.start("prefect", "mlflow")
    cluster.await_ready("prefect", "mlflow")
    cluster.start("worker")
    cluster.await_ready("worker")
    await_green(cluster, later)


def stop_database(cluster: Cluster) -> None:
    """PostgreSQL away for 15 s"""
    cluster.stop("postgres")
    time.sleep(AWAY_SECONDS)
    cluster.start("postgres")
    cluster.await_ready("postgres")


def lose_node(cluster: Cluster) -> None:
    """a Ray node lost"""
    cluster.kill("ray-worker")


def start_run(cluster: Cluster, name: str, parameters: dict[str, Any], root: str) -> str:
    """The id of a run with an artifact root of its own."""
    variables = json.dumps({"SCRIPTORIUM_ARTIFACTS": f"s3://{BUCKET}/{root}"})
    given = [*name_parameters(parameters), "--job-variable", f"env={variables}"]
    with cluster.run("ray", ["prefect", "deployment", "run", name, *given]) as asked:
        said, _ = asked.communicate()
    ids = [line.rpartition("UUID: ")[2].strip() for line in said.splitlines() if "UUID: " in line]
    if asked.returncode or not ids:
        raise UserError(f"{name} could not be started: {said.strip()[-300:]}")
    return ids[0]


def await_training(cluster: Cluster, run: str, root: Path) -> None:
    """Return when an epoch is done, of several."""
    limit = time.monotonic() + PATIENCE_SECONDS
    while not epochs_done(root):
        if (state := run_state(cluster, run)) in ENDED or time.monotonic() > limit:
            raise UserError(f"run {run} is {state or 'unknown'} before it trains; see {cluster.log('worker')}")
        time.sleep(POLL_SECONDS)


def epochs_done(root: Path) -> int:
    """By the training below a root; 0 where there is none, or the S3 server is just writing what it says."""
    told = [progress.read_bytes() for progress in root.glob(f"{DRAFTS}/*/progress.json")]
    return max((json.loads(content)["epoch"] for content in told if content), default=0)


def await_green(cluster: Cluster, run: str) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while (state := run_state(cluster, run)) != "COMPLETED":
        if state in ENDED or time.monotonic() > limit:
            raise UserError(f"run {run} is {state or 'unknown'}; see {cluster.log('worker')}")
        time.sleep(POLL_SECONDS)


def run_state(cluster: Cluster, run: str) -> str:
    """As Prefect calls it; empty where the server does not answer."""
    with cluster.run("ray", ["python", "-c", ASK, f"http://prefect:4200/api/flow_runs/{run}"]) as asked:
        said, _ = asked.communicate()
    return "" if asked.returncode else json.loads(said)["state_type"]


def made_artifacts(root: Path) -> set[str]:
    """What was made below a root: kind/digest."""
    return {f"{kind}/{place.name}" for kind in COMPARED for place in (root / kind).glob("*")}


def compare(undisturbed: set[str], made: set[str]) -> None:
    """Raises UserError where something was made that the undisturbed run did not make, or a model was not made."""
    if others := sorted(made - undisturbed):
        raise UserError(f"other than undisturbed: {', '.join(others)}")
    if missing := [kind for kind in sorted(COMPARED) if not any(name.startswith(f"{kind}/") for name in made)]:
        raise UserError(f"not made: {', '.join(missing)}")
