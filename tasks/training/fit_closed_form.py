"""Training without gradients: a model whose weights follow from sums over the training text, in one pass.

The batches are those of the loop's first epoch, divided over the workers in the same way, and the sums are taken over
all of them: any number of workers comes to the same weights. A run that was killed begins anew.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from infra.errors import UserError
from models.interface import Batch, State
from models.layers.ridge_regression import Moments
from tasks.batches.batch_loader import prefetch
from tasks.bundles import training_checkpoints
from tasks.bundles.training_checkpoints import TrainState
from tasks.training.train_loop import (
    Reporter,
    TrainJob,
    WorkerRank,
    close_epoch,
    groups_of,
    measure_dev,
    preflight,
    worker_batches,
)

Read = Callable[[Batch, State | None], tuple[Any, State]]


def in_closed_form(job: TrainJob) -> bool:
    """Whether the job's config is of a `ClosedForm`."""
    return getattr(job.model, "closed_form", False)


def fit_closed_form(job: TrainJob, worker: WorkerRank) -> None:
    """Read the training text for the sums, solve, and read it again for its loss. Raises UserError for more epochs."""
    if job.fit.epochs != 1:
        raise UserError(f"fit.epochs={job.fit.epochs}: a read-out in closed form is found in one; set fit.epochs=1")
    if job.init_from or job.fit.freeze or job.fit.rate_factors:
        raise UserError("a read-out in closed form begins from nothing: leave out --from, fit.freeze, fit.rate_factors")
    if training_checkpoints.latest(job.draft):
        return
    torch.manual_seed(job.fit.seed)
    model = job.model.build(*job.sizes).to(worker.device)
    now = TrainState(group=job.fit.batches_per_step)
    groups = groups_of(job, now)
    if not groups:
        raise UserError(f"fewer chunks than streams ({job.batching.utterances_per_batch} x {now.group}) to carry on")
    turns = sum(-(-len(group) // worker.workers) for group in groups)
    bar = Reporter(job, worker, 2 * turns, preflight(job, model, worker) / worker.workers)

    sums: list[torch.Tensor] = []
    for weight, found in _read(job, groups, model.moments, worker):
        sums = [s + weight * f for s, f in zip(sums, found, strict=True)] if sums else [weight * f for f in found]
        now.step += 1
        bar.show(now, math.log(job.sizes[1]))  # of a model that knows nothing yet
    if worker.workers > 1:
        for value in sums:
            dist.all_reduce(value)
    model.solve(Moments(*sums))

    with torch.no_grad():
        for weight, loss in _read(job, groups, model.advance, worker):
            now.total, now.count = now.total + weight * float(loss.total), now.count + weight * float(loss.count)
            now.step += 1
            bar.show(now, now.total / max(now.count, 1))
    total, count = worker.sum(now.total, now.count)
    row = {"epoch": 1, "step": 1, "loss": total / count, "lr": 0.0} | measure_dev(job, model, worker)
    close_epoch(job, now, row, {"model": model}, worker)
    bar.show(now, row["loss"], finished_epoch=True)


def _read(job: TrainJob, groups: list[list[np.ndarray]], read: Read, worker: WorkerRank) -> Iterator[tuple[float, Any]]:
    """What `read` finds in each batch of this worker, and 1; or 0 where it has no batch left and reads another's."""
    mine, states = prefetch(job.train, worker_batches(groups, worker), 0), dict[int, State | None]()
    for group in groups:
        for start in range(0, len(group), worker.workers):
            number = start + worker.rank
            found, after = read(next(mine).to(worker.device), states.get(number))
            states[number] = after if job.reach else None
            yield float(number < len(group)), found
