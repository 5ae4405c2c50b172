"""Training ends in a bundle that reads what it was taught, and survives being killed without losing its place."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from training_corpus import job_to_kill, made, training

from infra import storage
from infra.artifact_store import artifact_at, open_draft
from infra.errors import UserError
from infra.processes import Process, _status
from models.interface import Beam
from tasks.batches.batch_sampler import plan_batches
from tasks.bundles import training_checkpoints
from tasks.bundles.model_bundle import check_golden_outputs, import_model, load_bundle
from tasks.decoding.decode_speech import transcribe
from tasks.decoding.shard_inference import Inputs
from tasks.training import run_training, train_loop
from tasks.training.dev_metrics import TranscriptionMetrics
from tasks.training.optimizer import FitConfig, make_schedule
from tasks.training.run_training import Workers, busy_workers
from tasks.training.train_asr import prepare_asr, train_asr
from tasks.training.train_loop import WorkerRank, accumulate_gradients
from tasks.training.train_module import TrainModule


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path


def trained(place, **fit):
    features, tokenizer = made(place, 64)
    return features, train_asr.fn(features, tokenizer, training(12, **fit), Workers(count=0))


def test_a_bundle_reads_what_it_was_taught(place):
    features, artifact = trained(place)
    bundle = load_bundle(artifact)
    work = training(12)
    job, _ = prepare_asr(open_draft("training"), features, artifact, work)
    rows = transcribe(bundle, Inputs(job.dev, work.batching), Beam(width=4, max_length=20))
    assert [r["text"] for r in rows] == [r["reference"] for r in rows]
    for row in rows:
        times = [t["begin_seconds"] for t in row["hypotheses"][0]["tokens"]]
        assert times == sorted(times)
        assert times[-1] <= row["seconds"]
        scores = [h["score"] for h in row["hypotheses"]]
        assert scores == sorted(scores, reverse=True)
        assert 0 < row["confidence"] <= 1
    check_golden_outputs(artifact)


def test_a_bundle_from_elsewhere_is_adopted(place, monkeypatch):
    _, artifact = trained(place)
    where = artifact.uri
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "other"))
    assert import_model(where) == artifact
    assert artifact_at(artifact.uri) == artifact


def test_average_of_the_last_epochs(place):
    draft = open_draft("training")
    for epoch, value in enumerate((1.0, 2.0, 6.0)):
        training_checkpoints.keep_weights(draft, "epoch", epoch, {"w": torch.full((2,), value)}, 2)
    assert training_checkpoints.select_weights(draft, 2)["w"].tolist() == [4.0, 4.0]


def test_too_short_utterances_are_set_aside_or_refused(place):
    features, tokenizer = made(place, 64, frames_a_letter=1)
    with pytest.raises(UserError, match="too short for their transcripts") as caught:
        prepare_asr(open_draft("training"), features, tokenizer, training(1))
    assert "\n" not in str(caught.value)
    job, rejects = prepare_asr(open_draft("training"), features, tokenizer, training(1, error_budget=1.0))
    assert len(rejects) + len(job.train.index) == 64
    assert all(detail.endswith("there") for detail in rejects["detail"].to_pylist())
    steps = -(-job.train.frames // 2)
    assert (job.train.index["steps_needed"].to_numpy() <= steps).all()


def test_the_same_update_for_any_grouping_of_workers(place):
    """Gradients of a group equal those of its nats divided by its tokens, computed at once in float64."""
    features, tokenizer = made(place, 12)
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, training(1))
    model = job.model.build(*job.sizes).double().eval()
    group = plan_batches(job.train.frames, job.train.shard_numbers, job.batching, 0, 1)

    def batches(rows):
        batch = job.train.batch(rows, None)
        return type(batch)(
            batch.keys, type(batch.source)(batch.source.data.double(), batch.source.lengths), batch.target
        )

    count = int(job.train.tokens[np.concatenate(group)].sum())
    accumulate_gradients(TrainModule(model), map(batches, group), (0, 0), len(group), count, WorkerRank())
    summed = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    (sum(model.loss(batches(rows)).total for rows in group) / count).backward()
    for one, other in zip(summed, (p.grad for p in model.parameters()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_one_two_or_three_workers_come_to_the_same_model(place):
    """Running statistics and dev metrics included; an update has two batches, so the third worker adds nothing."""
    here = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{here.parents[1]}:{here}"}
    command = [sys.executable, str(here / "training_on_workers.py"), str(place), "1", "2", "3"]
    subprocess.run(command, env=environment, check=True, timeout=600)
    weights = torch.load(place / "weights.pt", weights_only=True)
    history = json.loads((place / "history.json").read_text())
    for workers in (2, 3):
        torch.testing.assert_close(weights[workers], weights[1], rtol=1e-4, atol=1e-5)
        for one, other in zip(history["1"], history[str(workers)], strict=True):
            assert other == pytest.approx(one, rel=1e-4, abs=1e-6)
    assert all(value.any() for name, value in weights[1].items() if name.endswith("running_mean"))


def test_more_workers_than_batches_stay_at_home(caplog):
    assert busy_workers(2, FitConfig(batches_per_step=3)) == 2
    assert not caplog.text
    assert busy_workers(8, FitConfig(batches_per_step=3)) == 3
    assert "3 of 8 workers train: an update takes fit.batches_per_step=3" in caplog.text


@pytest.mark.parametrize("unit", ["sequence", "token"])
def test_an_update_goes_by_the_nats_of_a_sequence_or_of_a_token(place, unit):
    """Plain descent: the weights move by the rate times the gradient of the mean, and are clipped by its norm."""
    features, tokenizer = made(place, 4)
    how = {"optimizer": "SGD", "optimizer_options": {}, "learning_rate": 0.5, "clip_norm": 0.0}
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, training(1, loss_normalization=unit, **how))
    torch.manual_seed(job.fit.seed)
    model = job.model.build(*job.sizes).train()
    batch = job.train.batch(np.arange(4), None, model.reduction)
    before = [p.detach().clone() for p in model.parameters()]
    count = 4 if unit == "sequence" else int(batch.target.lengths.sum())
    wanted = torch.autograd.grad(model.loss(batch).total / count, list(model.parameters()))
    train_loop.train_loop(job, WorkerRank())
    after = training_checkpoints.latest(job.draft)["model"]
    for (name, _), start, gradient in zip(model.named_parameters(), before, wanted, strict=True):
        torch.testing.assert_close(after[name], start - 0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_the_default_fit_learns(place):
    """Amodei et al.'s rate and clip are of the gradient of an utterance's nats."""
    features, tokenizer = made(place, 256)
    defaults = {name: getattr(FitConfig(), name) for name in ("optimizer", "optimizer_options", "learning_rate")}
    defaults |= {name: getattr(FitConfig(), name) for name in ("clip_norm", "schedule", "schedule_options")}
    bundle = train_asr.fn(features, tokenizer, training(8, **defaults), Workers(count=0))
    assert bundle.read_json("training.json")["best"]["dev_wer"] < 0.3


# -- what dev cannot measure -------------------------------------------------------------------------------------------


def measured_as(dev, monkeypatch, place, **fit):
    """A training whose epochs have these dev WERs, and the weights it ends with; their losses are finite."""
    told = iter(dev)
    monkeypatch.setattr(TranscriptionMetrics, "__call__", lambda *_: {"dev_wer": next(told), "dev_loss": 1.0})
    features, tokenizer = made(place, 8)
    return train_asr.fn(features, tokenizer, training(len(dev), **fit), Workers(count=0)).read_json("training.json")


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_the_best(place, monkeypatch, wild):
    assert measured_as([wild, 0.5, wild, 0.7], monkeypatch, place)["best"]["epoch"] == 2


def test_patience_counts_epochs_without_a_number(place, monkeypatch):
    told = measured_as([0.5, *[float("nan")] * 5], monkeypatch, place, patience=2)
    assert [row["epoch"] for row in told["history"]] == [1, 2, 3]


def test_a_training_that_dev_never_measures_ends_with_a_line(place, monkeypatch):
    with pytest.raises(UserError, match=r"in none of 2 epochs was dev_loss and dev_wer a finite number.*learning_rate"):
        measured_as([float("nan")] * 2, monkeypatch, place, average_last=2)


def test_interrupted_in_process_it_ends_with_the_same_weights(place, monkeypatch):
    features, tokenizer = made(place, 48)
    work = training(3, checkpoint_steps=2)
    whole = train_asr.fn(features, tokenizer, work, Workers(count=0))

    real, calls = train_loop.update_weights, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 17:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "second"))
    features, tokenizer = made(place, 48)
    monkeypatch.setattr(train_loop, "update_weights", failing)
    with pytest.raises(KeyboardInterrupt):
        train_asr.fn(features, tokenizer, work, Workers(count=0))
    resumed = train_asr.fn(features, tokenizer, work, Workers(count=0))
    assert resumed == whole, "the same digest: weights, history and golden utterances"


def test_what_a_worker_cannot_go_on_with_is_raised_by_the_driver(place, monkeypatch):
    import ray.train
    import ray.train.torch

    features, tokenizer = made(place, 12)
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, training(1))
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1)
    monkeypatch.setattr(ray.train, "get_context", lambda: context)
    monkeypatch.setattr(ray.train.torch, "get_device", lambda: torch.device("cpu"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "state-00000-00000002.pt")

    monkeypatch.setattr(run_training, "train_loop", full)

    def as_ray_tells_it():
        with run_training.raise_worker_errors(job.draft):
            try:
                run_training.on_worker({"job": job})
            except UserError as problem:
                run_training.on_worker({"job": job})  # Ray tries again: nothing is done
                raise RuntimeError("a long story") from problem

    with pytest.raises(UserError, match=r"the disk is full while writing state-00000-00000002\.pt; make room"):
        as_ray_tells_it()


def test_schedules_are_told_their_length():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    fit = FitConfig(schedule="OneCycleLR", schedule_options={}, schedule_every="step")
    assert make_schedule(optimizer, fit, 77).total_steps == 77
    assert (
        make_schedule(optimizer, FitConfig(schedule="CosineAnnealingLR", schedule_options={}), 77).T_max
        == FitConfig().epochs
    )


@pytest.mark.parametrize("updates", [1, 2, 9, 10, 11, 40])
def test_a_rate_rises_and_falls_in_any_number_of_updates(updates):
    parameter = torch.nn.Parameter(torch.zeros(1))
    fit = FitConfig(schedule="OneCycleLR", schedule_options={"pct_start": 0.1}, schedule_every="step")
    optimizer = torch.optim.SGD([parameter], lr=fit.learning_rate)
    schedule, rates = make_schedule(optimizer, fit, updates), []
    for _ in range(updates):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < updates:
            schedule.step()
    assert all(0 < rate <= fit.learning_rate * (1 + 1e-9) for rate in rates)


# -- killed ------------------------------------------------------------------------------------------------------------


def run(place, workers):
    here = Path(__file__).parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{here.parents[1]}:{here}"}
    command = [sys.executable, str(here / "training_corpus.py"), str(place), str(workers)]
    with (place / f"log-{workers}").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def trail(place):
    """`{(epoch, batch): {number in the group: keys}}`; two workers that did the same batch must have agreed."""
    found: dict[tuple[int, int], dict[str, list[str]]] = {}
    for path in sorted((place / "artifacts" / ".drafts").glob("training-*/trail/*.json")):
        told = json.loads(path.read_text())
        group = found.setdefault((told["epoch"], told["batch"]), {})
        for number, keys in told["keys"].items():
            assert group.setdefault(number, keys) == keys
    return found


def wait_for(place, epoch, batch, process, seconds=900):
    """Until training is past this batch."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError("".join(p.read_text(errors="replace")[-3000:] for p in place.glob("log-*")))
        if any(key > (epoch, batch) for key in trail(place)):
            return
        time.sleep(0.05)
    raise AssertionError("no progress: " + "".join(p.read_text(errors="replace")[-3000:] for p in place.glob("log-*")))


def expected(place):
    """The sequence of an uninterrupted run, from the plan alone."""
    work, how = job_to_kill()
    features, tokenizer = made(place, 160, **how)
    job, _ = prepare_asr(open_draft("training"), features, tokenizer, work)
    keys = []
    for epoch in range(work.fit.epochs):
        batches = plan_batches(job.train.frames, job.train.shard_numbers, job.batching, work.fit.seed, epoch)
        keys += [key for rows in batches for key in job.train.keys(rows)]
    return keys


def trained_keys(place):
    groups = trail(place)
    return [key for at in sorted(groups) for n in sorted(groups[at], key=int) for key in groups[at][n]]


def descendants(process, pattern):
    """Processes below this one (or that it left behind in its session) whose command line matches."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = []
    for pid, command in commands.items():
        above = pid
        while above in parents and above != process.pid:
            above = parents[above]
        if above == process.pid and re.search(pattern, command):
            found.append(pid)
    return found


@pytest.mark.slow
def test_a_worker_killed_in_mid_epoch_loses_nothing(place):
    process = run(place, 2)
    try:
        wait_for(place, 1, 10, process)
        os.kill(descendants(process, "RayTrainWorker")[0], signal.SIGKILL)
        assert process.wait(900) == 0, (place / "log-2").read_text()[-3000:]
    finally:
        process.kill()
    assert trained_keys(place) == expected(place)


@pytest.mark.slow
def test_ctrl_c_ends_it_and_its_workers_with_one_line(place):
    process = run(place, 2)
    try:
        wait_for(place, 0, 4, process)
        workers = [Process(pid, _status(pid).started) for pid in descendants(process, "RayTrainWorker")]
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everybody in the foreground hears it
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert (place / "log-2").read_text().splitlines()[-1].endswith("scriptorium: interrupted")
    end = time.monotonic() + 90
    while any(worker.alive() for worker in workers) and time.monotonic() < end:
        time.sleep(0.1)
    assert len(workers) == 2
    assert not any(worker.alive() for worker in workers)


@pytest.mark.slow
def test_the_driver_killed_and_resumed_with_one_worker_loses_nothing(place):
    process = run(place, 2)
    wait_for(place, 1, 10, process)
    # Ray's workers outlive their driver by a moment, and a fast machine trains to the end in it: these stand still.
    workers = [Process(pid, _status(pid).started) for pid in descendants(process, "RayTrainWorker")]
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.id, signal.SIGSTOP)
    process.kill()
    process.wait()
    process = run(place, 1)
    try:
        assert process.wait(900) == 0, (place / "log-1").read_text()[-3000:]
    finally:
        process.kill()
        for worker in workers:
            if worker.alive():
                os.kill(worker.id, signal.SIGKILL)
    folder = next((place / "artifacts" / ".drafts").glob("training-*/trail"))
    places = {n: sorted(tuple(map(int, p.name.split("-")[1:3])) for p in folder.glob(f"*-of-{n}.json")) for n in (1, 2)}
    assert places[1], "the second run had something left to do"
    assert places[1][0] >= (1, 0), "it went on from a checkpoint, not from the start"
    assert trained_keys(place) == expected(place)
    assert storage.list_files(str(folder))
