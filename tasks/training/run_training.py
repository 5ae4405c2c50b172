"""A training job, run: by Ray Train's workers or in this process, with its progress shown and its end made sure of."""

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import torch

from infra import storage, tracking
from infra.artifact_store import Draft
from infra.errors import UserError, explain_full_disk
from infra.ray_cluster import connect
from infra.retry import attempt
from infra.settings import settings
from tasks.steps.mlflow_run import history_rows
from tasks.steps.pipeline_step import Resources
from tasks.steps.progress import Progress, format_seconds, tell
from tasks.training.fit_closed_form import fit_closed_form, in_closed_form
from tasks.training.optimizer import FitConfig
from tasks.training.train_loop import Row, TrainJob, WorkerRank, train_loop
from tasks.training.training_duration import save_time

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # rank 0 writes every two seconds
BEFORE_UPDATES = "before the first update"
PROBLEM = "problem.txt"  # in the draft: what a worker found wrong, for the driver to raise


@dataclass(frozen=True, kw_only=True)
class Workers(Resources):
    """count: Ray Train workers, 0 for the loop in this process; no more work than an update has batches. The update is
    the same for any count, but for the order in which floats are added, so a key leaves it out. run_name: of the MLflow
    run that the metrics go to as they come, empty for none.
    """

    count: int = 1
    run_name: str = ""


def run_training(job: TrainJob, workers: Workers, run_id: str) -> None:
    """The whole loop, from wherever the job's draft stands. Raises the UserError that any worker found."""
    with ProgressMonitor(job, run_id), raise_worker_errors(job.draft):
        train_in_process(job) if workers.count == 0 else train_on_ray(job, busy_workers(workers.count, job.fit))
    save_time(job.draft, workers.count)


def busy_workers(count: int, fit: FitConfig) -> int:
    """As many of the workers as have a batch in an update; a line says so where that is not all of them."""
    busy = min(count, fit.batches_per_step)
    if busy < count:
        more = f"fit.batches_per_step={count} has work for all, in larger updates that make another model"
        log.warning("%d of %d workers train: an update takes fit.batches_per_step=%d; %s", busy, count, busy, more)
    return busy


def train_in_process(job: TrainJob) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(job, WorkerRank())
    finally:
        torch.set_num_threads(threads)


def train(job: TrainJob, worker: WorkerRank) -> None:
    """As one worker: by gradients, or in closed form where the model has one."""
    (fit_closed_form if in_closed_form(job) else train_loop)(job, worker)


def train_on_ray(job: TrainJob, workers: int) -> None:
    """On so many workers, each with a GPU where the cluster has enough of them."""
    gpus = connect().cluster_resources().get("GPU", 0)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    elastic = (1, workers) if settings().ray_address and workers > 1 else workers
    with tempfile.TemporaryDirectory(prefix="ray-train-") as folder:
        trainer = TorchTrainer(
            on_worker,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(num_workers=elastic, use_gpu=gpus >= workers),
            run_config=RunConfig(name="train", storage_path=folder, failure_config=FailureConfig(max_failures=3)),
        )
        with explain_killed_processes():
            run_in_thread(trainer.fit)


@contextmanager
def explain_killed_processes() -> Iterator[None]:
    """Turn the end of what directs the workers, or of workers that start, which Ray does not begin again, into a
    UserError.
    """
    from ray.exceptions import OutOfMemoryError, RayActorError
    from ray.train import ControllerError

    try:
        yield
    except (OutOfMemoryError, RayActorError, ControllerError) as error:
        cause = error.controller_failure if isinstance(error, ControllerError) else error
        if not isinstance(cause, OutOfMemoryError | RayActorError):
            raise
        why = str(cause).partition("\n")[0].rstrip(".:")
        what = "the same command goes on where the training was; --workers 0 takes the least memory"
        raise UserError(f"processes of the training were killed ({why}); {what}") from error


def run_in_thread(act: Callable[[], object]) -> None:
    """Do it, and leave it behind at a Ctrl-C: in the main thread Ray Train would take the signal over for good, and
    wait for workers that may not answer.
    """
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(act())
        except BaseException as error:  # handed to the caller
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    done.result()


def on_worker(config: dict[str, Any]) -> None:
    """What Ray Train runs. A UserError is left in the draft; raised as well, it ends the other workers, who would wait
    for this one, and Ray's next try finds it and does nothing.
    """
    import ray.train
    import ray.train.torch

    context, job = ray.train.get_context(), config["job"]
    if _told(job.draft, PROBLEM):
        return
    torch.set_num_threads(1)  # a worker has one core; two threads on a shared machine are slower than one
    worker = WorkerRank(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    try:
        with explain_full_disk():
            train(job, worker)
    except UserError as problem:
        storage.write(storage.join(job.draft.uri, PROBLEM), str(problem).encode())
        raise


@contextmanager
def raise_worker_errors(draft: Draft) -> Iterator[None]:
    """Raises the UserError that a worker left, whatever else its end brought about."""
    place = storage.join(draft.uri, PROBLEM)
    storage.remove(place)  # of a driver that was killed before it could tell
    try:
        yield
    finally:
        if problem := _told(draft, PROBLEM):
            storage.remove(place)
            raise UserError(problem.decode()) from None


class ProgressMonitor:
    """Shows the progress that rank 0 writes: terminal bar, Prefect progress, MLflow metrics as epochs end."""

    def __init__(self, job: TrainJob, run_id: str) -> None:
        self.draft, self.run_id, self.fit, self.sent = job.draft, run_id, job.fit, 0
        self.before = self._told()  # by a process that was killed
        start = self.before["step"] / max(self.before["updates"], 1) if self.before else 0.0
        self.progress = Progress("train", 1.0, start=start)
        self.progress.reach(start, BEFORE_UPDATES)
        self.epochs, self.seconds = len(self.before.get("history", ())), self.before.get("seconds", 0.0)
        self.ended = threading.Event()
        # In the context of the Prefect run, without which the thread could not update its progress artifact.
        self.thread = threading.Thread(target=copy_context().run, args=(self._watch,), daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self._look()
        self.progress.close()

    def _watch(self) -> None:
        while not self.ended.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        """What cannot be read or told now is so at the next look: this only shows, and nothing waits for it."""
        attempt(self._show)

    def _show(self) -> None:
        told = self._told()
        if told == self.before:
            return
        history = told["history"]
        dev = f", {self._dev(history[-1])}" if history else ""
        early = not history and self.progress.seconds_left() is None  # soon the pace says more
        estimate = f", estimated {format_seconds(told['estimated_seconds'])} in all" if early else ""
        note = f"epoch {min(told['epoch'] + 1, self.fit.epochs)}, loss {told['loss']:.3f}{dev}{estimate}"
        before_updates = self.progress.note == BEFORE_UPDATES
        self.progress.reach(told["step"] / max(told["updates"], 1), note)
        if before_updates:
            self.progress.restart()  # to start the workers is none of the pace
        self.seconds = min(self.seconds, told["seconds"])  # a checkpoint is older than what was told before a kill
        self._tell_epochs(told)
        self.before = told
        if self.run_id and len(history) > self.sent:
            tracking.log_metrics(self.run_id, history_rows(history[self.sent :]))
            self.sent = len(history)

    def _tell_epochs(self, told: dict[str, Any]) -> None:
        """A line for each epoch that has ended since the last look, with the mean of the seconds that they took."""
        ended = told["history"][self.epochs :]
        if not ended:
            return
        seconds = (told["seconds"] - self.seconds) / len(ended)
        left = self.progress.seconds_left() or 0.0
        to_go = f", about {format_seconds(left)} to go" if left else ""
        for row in ended:
            epoch = f"epoch {row['epoch']} of {self.fit.epochs}: loss {row['loss']:.3f}, {self._dev(row)}"
            tell(f"{epoch}, trained in {format_seconds(seconds)}{to_go}")
        self.epochs, self.seconds = len(told["history"]), told["seconds"]

    def _dev(self, row: Row) -> str:
        names = dict.fromkeys(("dev_loss", f"dev_{self.fit.best_by}"))
        return ", ".join(f"{name.replace('_', ' ')} {row[name]:.3f}" for name in names)

    def _told(self) -> dict[str, Any]:
        return json.loads(_told(self.draft, "progress.json") or b"{}")


def _told(draft: Draft, name: str) -> bytes:
    try:
        return storage.read(storage.join(draft.uri, name))
    except FileNotFoundError:
        return b""
