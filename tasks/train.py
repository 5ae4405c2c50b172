"""Features to a bundle: checks before the first step, the loop on Ray Train's workers, the best weights at the end.

The draft of a run is named by its inputs, so a run that was killed (a worker, the driver, the machine) goes on when
the same command is given again, with as many workers as it then has.
"""

import io
import json
import tempfile
import threading
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from infra import storage, tracking
from infra.cluster import connect
from infra.problem import Problem
from infra.settings import settings
from infra.store import Artifact, Draft, open_draft
from models.interface import Beam, Emitter
from tasks import checkpoints
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import GOLDEN, Contents, write_bundle
from tasks.features import FrontEnd, normaliser_of
from tasks.featurize import QUARANTINE, index_of
from tasks.loop import Job, Place, train_loop
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.progress import Progress
from tasks.step import Resources, step
from tasks.tokenizer import load_tokenizer

POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, and how. model: the Config of a file in models/."""

    model: Any
    front_end: FrontEnd
    augment: Augment
    batching: Batching
    fit: Fit
    beam: Beam


@dataclass(frozen=True, kw_only=True)
class Workers(Resources):
    """count: Ray Train workers, 0 for the loop in this process. run_name: of the MLflow run that the metrics go to as
    they come, empty for none.
    """

    count: int = 1
    run_name: str = ""


@step
def train(features: Artifact, tokenizer: Artifact, training: Training, workers: Workers) -> Artifact:
    key = train.key(features, tokenizer, training, workers)
    draft = open_draft("training", key[:32])
    job, rejects = prepare(draft, features, tokenizer, training)
    run_id = tracking.open_run(key, workers.run_name, {}) if workers.run_name else ""
    try:
        with Watch(job, run_id):
            run_in_process(job) if workers.count == 0 else run_on_ray(job, workers.count)
        if problem := _told(draft, "problem.txt"):
            storage.remove(storage.join(draft.uri, "problem.txt"))
            raise Problem(problem.decode())
        bundle = finish(job, training, rejects)
    except BaseException as error:
        if run_id:
            tracking.finish(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if not training.fit.trail:
        draft.discard()
    return bundle


def prepare(draft: Draft, features: Artifact, tokenizer: Artifact, training: Training) -> tuple[Job, pa.Table]:
    """The job, and the training utterances that are too short for their transcripts. Raises Problem beyond budget."""
    statistics, fit = features.read_json("statistics.json"), training.fit
    if not statistics:
        raise Problem(f"{features}: the training split is empty")
    normaliser = normaliser_of(statistics, training.front_end.normalise)
    sizes = (len(statistics["sum"]), len(load_tokenizer(tokenizer)))
    with torch.device("meta"):
        model = training.model.build(*sizes)
    rows, dev = index_of(features, "train"), index_of(features, "dev")
    if not len(dev):
        raise Problem(f"{features}: no dev utterances to choose the best weights by")
    rejects = QUARANTINE.empty_table()
    if isinstance(model, Emitter):
        steps = -(-rows["frames"].to_numpy() // model.reduction)
        short = rows["steps_needed"].to_numpy() > steps
        rejects, rows = too_short(rows.filter(pa.array(short)), steps[short]), rows.filter(pa.array(~short))
        if len(rejects) > fit.error_budget * len(short):
            raise Problem(
                f"split train: {len(rejects)} of {len(short)} utterances are too short for their transcripts at one "
                f"output step for {model.reduction} frames, over the budget of {fit.error_budget:.0%}; first "
                f"{rejects['source'][0]}; lower model.time_strides or features.hop_ms, or raise fit.error_budget"
            )
    if not len(rows):
        raise Problem(f"{features}: no training utterance is long enough for its transcript")
    heard = Utterances(features, rows, normaliser, training.augment, fit.seed)
    held_out = Utterances(features, dev, normaliser, Augment(), fit.seed)
    return Job(draft, training.model, sizes, tokenizer, heard, held_out, training.batching, fit), rejects


def too_short(rows: pa.Table, steps: np.ndarray) -> pa.Table:
    reasons = [
        f"{needed} output steps needed, {there} there"
        for needed, there in zip(rows["steps_needed"].to_pylist(), steps.tolist(), strict=True)
    ]
    columns = {"stage": "training", "reason": "too short for its transcript", "sha256": ""}
    constant = {name: [value] * len(rows) for name, value in columns.items()}
    table = {"source": rows["source"], "split": rows["split"], "detail": reasons, **constant}
    return pa.table({name: pa.chunked_array([list(map(str, table[name]))], pa.string()) for name in QUARANTINE.names})


def run_in_process(job: Job) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_loop(job, Place())
    finally:
        torch.set_num_threads(threads)


def run_on_ray(job: Job, workers: int) -> None:
    """On so many workers, each with a GPU where the cluster has enough of them."""
    gpus = connect().cluster_resources().get("GPU", 0)
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.torch import TorchTrainer  # noqa: PLC0415

    elastic = (1, workers) if settings().ray_address and workers > 1 else workers
    with tempfile.TemporaryDirectory(prefix="ray-train-") as folder:
        trainer = TorchTrainer(
            on_worker,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(num_workers=elastic, use_gpu=gpus >= workers),
            run_config=RunConfig(name="train", storage_path=folder, failure_config=FailureConfig(max_failures=3)),
        )
        trainer.fit()


def on_worker(config: dict[str, Any]) -> None:
    """What Ray Train runs. A Problem is left in the draft: raised here, it would be tried again."""
    import ray.train  # noqa: PLC0415
    import ray.train.torch  # noqa: PLC0415

    context, job = ray.train.get_context(), config["job"]
    torch.set_num_threads(1)  # a worker has one core; two threads on a shared machine are slower than one
    place = Place(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    try:
        train_loop(job, place)
    except Problem as problem:
        storage.write(storage.join(job.draft.uri, "problem.txt"), str(problem).encode())


def finish(job: Job, training: Training, rejects: pa.Table) -> Artifact:
    """The bundle of the chosen weights."""
    stored = checkpoints.latest(job.draft)
    if stored is None:
        raise Problem("training left no checkpoint; see the log above and run the same command again")
    golden = {job.dev.keys([row])[0]: job.dev.read(row)[0] for row in range(min(GOLDEN, len(job.dev.index)))}
    buffer = io.BytesIO()
    pq.write_table(rejects, buffer)
    standing = stored["standing"]
    told = {"history": standing["history"], "best": standing["best"], "features": job.train.features.digest}
    configs = {name: asdict(getattr(training, name)) for name in ("fit", "batching", "augment")}
    contents = Contents(
        config=training.model,
        sizes=job.sizes,
        weights=checkpoints.chosen_weights(job.draft, training.fit.average_last),
        tokenizer=job.tokenizer,
        front_end=training.front_end,
        normaliser=job.train.normaliser,
        beam=training.beam,
        training=told | configs,
        golden=golden,
        quarantine=buffer.getvalue(),
    )
    return write_bundle(contents)


class Watch:
    """Shows the progress that rank 0 writes: terminal bar, Prefect progress, MLflow metrics as epochs end."""

    def __init__(self, job: Job, run_id: str) -> None:
        self.draft, self.run_id, self.sent = job.draft, run_id, 0
        self.progress = Progress("train", 1.0)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self._look()
        self.progress.__exit__(None, None, None)

    def _watch(self) -> None:
        while not self.ended.wait(POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        told = json.loads(_told(self.draft, "progress.json") or b"{}")
        if not told:
            return
        history = told["history"]
        dev = f", dev WER {history[-1]['dev_wer']:.1%}" if history else ""
        estimate = f", estimated {told['estimated_seconds'] / 60:.0f} min in all" if not history else ""
        note = f"epoch {told['epoch'] + 1}, loss {told['loss']:.3f}{dev}{estimate}"
        self.progress.reach(told["step"] / max(told["updates"], 1), note)
        if self.run_id and len(history) > self.sent:
            rows = [(name, value, int(row["epoch"])) for row in history[self.sent :] for name, value in row.items()]
            tracking.log_metrics(self.run_id, rows)
            self.sent = len(history)


def _told(draft: Draft, name: str) -> bytes:
    try:
        return storage.read(storage.join(draft.uri, name))
    except FileNotFoundError:
        return b""
