"""Trainings that need nothing of each other, several at a time: each alone on one core of wherever Ray has one free.

What a training makes is remembered there, so that afterwards its step finds it. A killed comparison goes on with the
trainings that are not done, each of these from its last checkpoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.artifact_store import Artifact, find_result
from infra.errors import UserError
from infra.ray_cluster import connect
from tasks.steps.in_process import run_in_process
from tasks.steps.mlflow_run import mlflow_run
from tasks.steps.pipeline_step import Step
from tasks.steps.progress import Progress
from tasks.training.leaderboard import LeaderboardEntry
from tasks.training.run_training import Workers
from tasks.training.training_duration import load_progress, load_time

POLL_SECONDS = 3.0  # a training tells of itself every two


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a comparison. step: that trains. inputs: its arguments but for the workers, its config last.
    scored: the steps from a bundle to its scores, which follow on the same core.
    """

    recipe: str
    seed: int
    step: Step[...]
    inputs: tuple[Any, ...]
    scored: Callable[[Artifact], Artifact]

    @property
    def label(self) -> str:
        return f"{self.recipe}, seed {self.seed}"

    @property
    def arguments(self) -> tuple[Any, ...]:
        return *self.inputs, Workers(count=0)

    @cached_property
    def key(self) -> str:
        return self.step.key(*self.arguments)

    def entry(self, bundle: Artifact, scores: Artifact) -> LeaderboardEntry:
        """What a comparison ranks, once it is trained and scored."""
        told = {"recipe": self.recipe, "seed": self.seed, "training": self.inputs[-1], "clock": load_time(self.key)}
        return LeaderboardEntry(bundle=bundle, scores=scores, **told)


def run_trials(trainings: Sequence[Trial], key: str, run_name: str) -> dict[str, str]:
    """Do those that are not done; what went wrong is returned, a line by label. Raises UserError where nothing went
    well.

    key, run_name: of the MLflow run that is open meanwhile.
    """
    todo = [one for one in trainings if find_result(one.key) is None]
    if not todo:
        return {}
    with mlflow_run(key, run_name, {}):
        failed = _outcomes(todo)
        if len(failed) == len(trainings):
            label, line = next(iter(failed.items()))
            raise UserError(f"{label}: {line}" + (" (and the others failed too)" if len(failed) > 1 else ""))
    return failed


def _outcomes(todo: list[Trial]) -> dict[str, str]:
    ray, failed = connect(), {}
    worker = ray.remote(num_cpus=1)(train_trial)
    waiting = {worker.remote(one): one for one in todo}
    with Progress("train", len(todo), "models") as progress:
        note = f"0 of {len(todo)} trained"
        while waiting:
            for done in ray.wait(list(waiting), num_returns=1, timeout=POLL_SECONDS)[0]:
                one = waiting.pop(done)
                try:
                    line = ray.get(done)
                except ray.exceptions.RayError as error:  # its process died, and again when Ray tried once more
                    line = _one_line(error)
                if not line and find_result(one.key) is None:
                    line = "its worker runs other code than this process; give both the same and run this again"
                failed |= {one.label: line} if line else {}
                note = f"{len(todo) - len(waiting)} of {len(todo)} trained, last {one.label}"
            under_way = sum(_share_done(one) for one in waiting.values())
            progress.reach(len(todo) - len(waiting) + under_way, note + (f", {len(failed)} failed" if failed else ""))
    return {one.label: failed[one.label] for one in todo if one.label in failed}  # not as they happened to end


def train_trial(one: Trial) -> str:
    """In a worker of Ray: train and score in this process. What went wrong in one line, empty for nothing."""
    try:
        with run_in_process():
            one.scored(one.step(*one.arguments))
    except UserError as problem:
        return str(problem)
    except Exception as error:  # noqa: BLE001  (one recipe's fault, whatever it is, is not that of the others)
        return _one_line(error)
    return ""


def _share_done(one: Trial) -> float:
    told = load_progress(one.key)
    return told["step"] / max(told["updates"], 1) if told else 0.0


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {lines[0][:300]}"
