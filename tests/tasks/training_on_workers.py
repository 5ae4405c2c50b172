"""Trains one job with so many workers, processes that talk by gloo, and stores what came out of it; run by a test."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from training_corpus import made, training

from infra.artifact_store import artifact_at, open_draft
from tasks.bundles import training_checkpoints
from tasks.training.train_asr import prepare_asr
from tasks.training.train_loop import TrainJob, WorkerRank, train_loop


def work(rank: int, workers: int, job: TrainJob, meeting: str) -> None:
    torch.set_num_threads(1)
    if workers > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    train_loop(job, WorkerRank(rank, workers))
    if workers > 1:
        dist.destroy_process_group()


def main(place: Path, counts: list[int], source: str) -> None:
    features, tokenizer = made(place, 44)
    how = {"batches_per_step": 2, "optimizer": "SGD", "optimizer_options": {"momentum": 0.9}, "learning_rate": 0.1}
    config = training(2, **how)
    if source:
        frozen = training(2, **how, freeze=("members.0.recurrent",))
        config = replace(frozen, init_from=artifact_at(source))
    found = {}
    for workers in counts:
        job, _ = prepare_asr(open_draft("training", f"on-{workers}{source[-8:]}"), features, tokenizer, config)
        meeting = str(place / f"meeting-{workers}")
        mp.start_processes(work, (workers, job, meeting), nprocs=workers, start_method="fork")  # pyright: ignore
        stored = training_checkpoints.latest(job.draft)
        found[workers] = {"weights": stored["model"], "history": stored["standing"]["history"]}
    torch.save({k: v["weights"] for k, v in found.items()}, place / "weights.pt")
    (place / "history.json").write_text(json.dumps({k: v["history"] for k, v in found.items()}))


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    given, _, init = " ".join(sys.argv[2:]).partition(" --from ")
    main(Path(sys.argv[1]), [int(count) for count in given.split()], init)
