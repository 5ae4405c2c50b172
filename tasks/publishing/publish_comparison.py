"""A comparison into MLflow: one run with the page and the best numbers, in it a run for each training."""

import hashlib
from dataclasses import asdict

from infra import tracking
from infra.artifact_store import Artifact, new_draft
from tasks.publishing.publish_model import single_rows
from tasks.reports.report_comparison import Comparison
from tasks.steps.mlflow_run import history_rows
from tasks.steps.pipeline_step import step
from tasks.steps.read_config import flatten_params
from tasks.training.leaderboard import LeaderboardEntry, entry_metrics

PARENT_TAG = "mlflow.parentRunId"  # by which MLflow nests runs


@step
def publish_comparison(entries: tuple[LeaderboardEntry, ...], page: Artifact, comparison: Comparison) -> Artifact:
    """`publication.json` with the id of the run. No model is registered; bundles are recorded by reference."""
    best = page.read_json("leaderboard.json")["recipes"][0]
    told = {"corpus": comparison.corpus, "best_recipe": best["recipe"]}
    told |= {f"failed.{label}": line for label, line in comparison.failed}
    parent = tracking.open_run(comparison.key, comparison.title, told)
    runs = {entry.label: _publish_entry(entry, comparison, parent) for entry in entries}
    numbers = {name: value for name, value in best.items() if isinstance(value, int | float)}
    tracking.log_metrics(parent, [(f"best_{name}", value, 0) for name, value in numbers.items()])
    tracking.log_files(parent, [(name, page.read(name)) for name in page.names()], page.kind)
    tracking.finish(parent, "FINISHED")
    with new_draft("publication") as out:
        digests = {entry.label: entry.bundle.digest for entry in entries}
        out.put_json("publication.json", {"run_id": parent, "runs": runs, "digests": digests})
    return out.result()


def _publish_entry(entry: LeaderboardEntry, comparison: Comparison, parent: str) -> str:
    """The id of the run of one training, below its comparison's. Another comparison has another run of it."""
    key = hashlib.sha256(f"{comparison.key} {entry.label}".encode()).hexdigest()
    told = {"corpus": comparison.corpus, "recipe": entry.recipe, "seed": str(entry.seed)}
    run_id = tracking.open_run(key, entry.label, told | {PARENT_TAG: parent})
    tracking.log_params(run_id, told | flatten_params(asdict(entry.training)))
    history = entry.bundle.read_json("training.json")["history"]
    tracking.log_metrics(run_id, history_rows(history))
    tracking.log_metrics(run_id, single_rows(entry_metrics(entry), history))
    tracking.log_dataset(run_id, "bundle", entry.bundle.digest, entry.bundle.uri)
    tracking.finish(run_id, "FINISHED")
    return run_id
