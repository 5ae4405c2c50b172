"""The training loop, run by every worker of Ray Train (or in this process, alone).

An update takes `group` batches of the plan, `FitConfig.batches_per_step`; worker r of w does batches r, r + w, ... of
them, gradients are summed over all and divided by the sequences or tokens of the whole group, and running statistics
move by the mean over all: the same update for any number of workers, but for the order in which floats are added. The
random state of a batch comes from (seed, update, batch). So a run resumes at the exact next batch, with fewer or more
workers.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from infra import storage
from infra.artifact_store import Artifact, Draft
from infra.errors import UserError
from infra.retry import attempt
from models.interface import Batch, Model
from tasks.batches.batch_loader import Dataset, prefetch
from tasks.batches.batch_sampler import BatchingConfig, largest_batch, plan_batches, plan_streams
from tasks.bundles import training_checkpoints
from tasks.bundles.model_bundle import BundleContents
from tasks.bundles.pretrained_model import build_model
from tasks.bundles.training_checkpoints import TrainState
from tasks.training.optimizer import FitConfig, advance, cool_down, is_better, make_optimizer, make_schedule, warm_up
from tasks.training.parameter_groups import freeze_parameters, parameter_groups, set_training_mode
from tasks.training.train_module import RunningStatistics, Stored, TrainModule, autocast

WILD_UPDATES = 20  # so many in a row without a finite gradient end the run


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """All that a worker is told. measure: what makes an epoch's row of dev metrics, of
    tasks/training/dev_metrics.py. split: what a bundle is written of, where more was trained than its model.
    """

    draft: Draft
    model: Any  # the architecture's Config
    sizes: tuple[int, int]  # of a frame (or the source's vocabulary) and of the vocabulary
    tokenizer: Artifact
    train: Dataset
    dev: Any  # a Dataset too, of the kind that `measure` reads
    batching: BatchingConfig
    fit: FitConfig
    measure: "DevMetrics"
    reach: int = 0  # chunks that a gradient goes back over, where streams carry their state; 0 where none do
    init_from: Artifact | None = None  # the bundle whose weights it begins with
    split: Callable[[BundleContents], BundleContents] | None = None


Row = dict[str, Any]  # the metrics of an epoch, and perhaps a "sample" of what the model writes


@dataclass(frozen=True)
class WorkerRank:
    """Which worker this is, of how many, and what it computes on."""

    rank: int = 0
    workers: int = 1
    device: torch.device = torch.device("cpu")

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the workers."""
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.workers > 1:
            dist.all_reduce(numbers)
        return numbers.tolist()


class DevMetrics(Protocol):
    """What an epoch is measured by. metrics: the names, without `dev_`, that may pick the best weights."""

    metrics: ClassVar[tuple[str, ...]]

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row: ...


def train_loop(job: TrainJob, worker: WorkerRank) -> None:
    fit = job.fit
    torch.manual_seed(fit.seed)
    model = freeze_parameters(build_model(job.model, job.sizes, job.init_from), fit).to(worker.device)
    learner = TrainModule(model, worker.workers, job.reach, fit.precision)
    optimizer = make_optimizer(parameter_groups(model, fit), fit)
    stored = training_checkpoints.latest(job.draft) or {}
    now = TrainState(**stored.get("standing", {"group": fit.batches_per_step}))
    updates = sum(-(-len(_plan(job, epoch, now.group)) // now.group) for epoch in range(fit.epochs))
    if not updates:
        raise UserError(f"fewer chunks than streams ({job.batching.utterances_per_batch} x {now.group}) to carry on")
    schedule = make_schedule(optimizer, fit, updates)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    for name in parts.keys() & stored.keys():
        parts[name].load_state_dict(stored[name])
    resume_streams(learner, stored.get("streams", {}), job, now, worker)
    bar = Reporter(job, worker, updates, preflight(job, model, worker) / worker.workers)

    while now.epoch < fit.epochs and not should_stop(now, fit):
        set_training_mode(model, fit)
        groups = groups_of(job, now)
        mine = prefetch(job.train, worker_batches(groups, worker), now.epoch, model.reduction)
        for group in groups:
            rows = np.concatenate(group)
            count = int(job.train.tokens[rows].sum())
            share = count if fit.loss_normalization == "token" else len(rows)
            learner.begin_update(now.step)
            total = accumulate_gradients(learner, mine, (fit.seed, now.step), len(group), share, worker)
            update_weights(optimizer, fit, now)
            if fit.schedule_every == "step":
                advance(schedule, total / count)
            if fit.trail:
                _trail(job, now, group, worker)
            now.total, now.count = now.total + total, now.count + count
            now.step, now.batch = now.step + 1, now.batch + len(group)
            bar.show(now, total / count)
            if now.step % fit.checkpoint_steps == 0:
                reached = learner.stored()
                if worker.rank == 0:
                    training_checkpoints.save(job.draft, now, parts, reached)
        learner.begin_epoch()
        row = {"epoch": now.epoch + 1, "step": now.step, "loss": now.total / max(now.count, 1)}
        row |= {"lr": optimizer.param_groups[0]["lr"]} | measure_dev(job, model, worker)
        if fit.schedule_every == "epoch":
            advance(schedule, row[f"dev_{fit.best_by}"])
        close_epoch(job, now, row, parts, worker)
        bar.show(now, row["loss"], finished_epoch=True)


def accumulate_gradients(
    learner: TrainModule, mine: Iterator[Batch], seeds: tuple[int, int], batches: int, count: int, worker: WorkerRank
) -> float:
    """Gradients of a group's nats by `count`, its sequences or tokens, over all workers; returns the nats."""
    total, rounds, net = 0.0, -(-batches // worker.workers), learner.net
    statistics = RunningStatistics(learner.model, batches, worker.workers)
    for turn in range(rounds):
        number = turn * worker.workers + worker.rank
        idle = number >= batches  # this worker has no batch left: it joins in with a weight of zero
        torch.manual_seed(int(np.random.SeedSequence([*seeds, number]).generate_state(1)[0]))
        last = turn == rounds - 1  # the gradients of all turns cross the wire once
        with net.no_sync() if isinstance(net, DistributedDataParallel) and not last else nullcontext():
            batch = next(mine).to(worker.device)
            loss = learner.loss(batch, number)
            (loss * (0.0 if idle else worker.workers / count)).backward()
        if not idle:
            total += float(loss.detach())
        statistics.collect(counts=not idle)
    statistics.settle()
    return worker.sum(total)[0]


def update_weights(optimizer: torch.optim.Optimizer, fit: FitConfig, now: TrainState) -> None:
    """One step of the optimizer, clipped and warmed up; one without a finite gradient is left out and counted."""
    parameters = [p for g in optimizer.param_groups for p in g["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, fit.clip_norm or float("inf"))
    rates = [g["lr"] for g in optimizer.param_groups]
    now.wild = 0 if torch.isfinite(norm) else now.wild + 1
    if now.wild == WILD_UPDATES:
        raise UserError(f"{now.wild} updates in a row had no finite gradient; lower fit.learning_rate ({rates[0]:g})")
    warm_up(optimizer, fit, now.step)
    if not now.wild:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    cool_down(optimizer, rates)


def close_epoch(job: TrainJob, now: TrainState, row: Row, parts: dict[str, Any], worker: WorkerRank) -> None:
    """The epoch's row into the history, a checkpoint, and if dev has numbers its weights for the best or a mean."""
    metric = f"dev_{job.fit.best_by}"
    measured = math.isfinite(row[metric]) and math.isfinite(row["dev_loss"])
    better = measured and (not now.best or is_better(job.fit.best_by, row[metric], now.best[metric]))
    now.history.append(row)
    now.best = row if better else now.best
    now.epoch, now.batch, now.total, now.count = now.epoch + 1, 0, 0.0, 0.0
    if worker.rank:
        return
    weights = parts["model"].state_dict()
    if better:
        training_checkpoints.keep_weights(job.draft, "best", now.epoch, weights, 1)
    if job.fit.average_last and measured:
        training_checkpoints.keep_weights(job.draft, "epoch", now.epoch, weights, job.fit.average_last)
    training_checkpoints.save(job.draft, now, parts, {})


@torch.no_grad()
def measure_dev(job: TrainJob, model: Model, worker: WorkerRank) -> Row:
    model.eval()
    return job.measure(job, model, worker)


def should_stop(now: TrainState, fit: FitConfig) -> bool:
    """Whether the best epoch is so long ago that training stops early."""
    return bool(fit.patience and now.epoch - now.best.get("epoch", 0) >= fit.patience)


def resume_streams(learner: TrainModule, reached: Stored, job: TrainJob, now: TrainState, worker: WorkerRank) -> None:
    """The streams where a checkpoint left them."""

    def batch_before(number: int, groups: int) -> Batch:
        rows = _plan(job, now.epoch, now.group)[now.batch - groups * now.group + number]
        return job.train.batch(rows, now.epoch, learner.model.reduction).to(worker.device)

    mine = {number: states for number, states in reached.items() if number < now.group}  # not an idle worker's
    learner.restore(mine, batch_before, worker.device)


def worker_batches(groups: list[list[np.ndarray]], worker: WorkerRank) -> list[np.ndarray]:
    """The batches of this worker in their order; where a group has none left for it, the group's first."""
    mine = []
    for group in groups:
        for start in range(0, len(group), worker.workers):
            number = start + worker.rank
            mine.append(group[number] if number < len(group) else group[0])
    return mine


def preflight(job: TrainJob, model: Model, worker: WorkerRank) -> float:
    """Run the largest batch of the plan once forward and backward; returns the seconds that a padded frame takes.

    Raises UserError where it does not fit into memory.
    """
    batch_rows = largest_batch(_plan(job, job.batching.sorted_epochs, 1), job.train.frames)
    size, longest = len(batch_rows), int(job.train.frames[batch_rows].max())
    before = {name: value.clone() for name, value in model.named_buffers()}
    set_training_mode(model, job.fit)
    try:
        batch = job.train.batch(batch_rows, job.fit.epochs - 1, model.reduction).to(worker.device)
        begun = time.monotonic()
        with autocast(job.fit.precision, worker.device):
            total = model(batch).total
        total.backward()
        seconds = time.monotonic() - begun
    except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if "memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        limit = f"lower batching.frames_per_batch ({job.batching.frames_per_batch})"
        raise UserError(f"a batch of {size} utterances x {longest} frames does not fit into memory; {limit}") from error
    finally:
        model.zero_grad(set_to_none=True)
    for name, value in model.named_buffers():  # the running statistics have seen nothing yet
        value.copy_(before[name])
    return seconds / (size * longest)


class Reporter:
    """Rank 0 writes where the run stands to `progress.json`; the process that started it shows that."""

    def __init__(self, job: TrainJob, worker: WorkerRank, updates: int, seconds_per_frame: float) -> None:
        self.job, self.rank, self.updates, self.written = job, worker.rank, updates, 0.0
        self.since = clocks()
        plans = (_plan(job, epoch, 1) for epoch in {0, min(job.batching.sorted_epochs, job.fit.epochs - 1)})
        cost = np.mean([sum(len(rows) * int(job.train.frames[rows].max()) for rows in p) for p in plans])
        self.estimate = float(cost) * seconds_per_frame * job.fit.epochs

    def show(self, now: TrainState, loss: float, *, finished_epoch: bool = False) -> None:
        before, self.since = self.since, clocks()
        if not finished_epoch:  # an epoch's end is its evaluation
            now.seconds += self.since[0] - before[0]
            now.core_seconds += self.since[1] - before[1]
        if self.rank or not (finished_epoch or time.monotonic() - self.written > 2):
            return
        self.written = time.monotonic()
        told = {"step": now.step, "updates": self.updates, "epoch": now.epoch, "loss": loss, "history": now.history}
        told |= {"estimated_seconds": self.estimate, "seconds": now.seconds, "core_seconds": now.core_seconds}
        place, content = storage.join(self.job.draft.uri, "progress.json"), json.dumps(told).encode()
        storage.write(place, content) if finished_epoch else attempt(lambda: storage.write(place, content))


def clocks() -> tuple[float, float]:
    """Seconds by the clock, and by this process's cores."""
    return time.monotonic(), time.process_time()


def groups_of(job: TrainJob, now: TrainState) -> list[list[np.ndarray]]:
    """The batches of each update that is left of the epoch."""
    batches = _plan(job, now.epoch, now.group)
    return [batches[i : i + now.group] for i in range(now.batch, len(batches), now.group)]


def _plan(job: TrainJob, epoch: int, group: int) -> list[np.ndarray]:
    frames, seed = job.train.frames, job.fit.seed
    if job.reach:
        return plan_streams(len(frames), job.batching.rows_of(int(frames[0])), group, seed, epoch)
    return plan_batches(frames, job.train.shard_numbers, job.batching, seed, epoch, job.train.weights)


def _trail(job: TrainJob, now: TrainState, group: list[np.ndarray], worker: WorkerRank) -> None:
    """The keys of an update, each worker those it did itself."""
    mine = {n: job.train.keys(rows) for n, rows in enumerate(group) if n % worker.workers == worker.rank}
    name = f"trail-{now.epoch:05}-{now.batch:08}-{worker.rank}-of-{worker.workers}.json"
    told = {"epoch": now.epoch, "batch": now.batch, "keys": mine}
    storage.write(storage.join(job.draft.uri, "trail", name), json.dumps(told).encode())
