"""What a training says of itself while workers do it."""

import json
from types import SimpleNamespace

from infra import storage
from infra.artifact_store import open_draft
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import ProgressMonitor


def write(draft, step, epochs, seconds):
    history = [{"epoch": e, "step": 10 * e, "loss": 4 / e, "dev_loss": 5 / e, "dev_wer": 1 / e} for e in epochs]
    told = {"step": step, "updates": 40, "epoch": step // 10, "loss": 1.0, "history": history}
    told |= {"estimated_seconds": 80, "seconds": seconds, "core_seconds": seconds}
    storage.write(storage.join(draft.uri, "progress.json"), json.dumps(told).encode())


def job_of(draft):
    return SimpleNamespace(draft=draft, fit=FitConfig(epochs=4, best_by="wer"))


def test_a_checkpoint_older_than_what_was_told_takes_no_time_back(artifact_root, capfd):
    draft = open_draft("training", "b" * 32)
    write(draft, 18, [1], 180.0)  # killed here
    monitor = ProgressMonitor(job_of(draft), "")
    write(draft, 12, [1], 120.0)  # its last checkpoint
    monitor._show()
    write(draft, 20, [1, 2], 124.0)
    monitor._show()
    monitor.progress.close()
    (line,) = (line for line in capfd.readouterr().err.splitlines() if " of 4: " in line)
    assert ", trained in 4.0 s, about " in line


def test_what_was_estimated_is_told_until_the_pace_is_known(artifact_root, monkeypatch):
    draft = open_draft("training", "c" * 32)
    monitor = ProgressMonitor(job_of(draft), "")
    notes = []
    for step in (0, 1, 4):
        write(draft, step, [], 10.0 * step)
        monkeypatch.setattr(monitor.progress, "seconds_left", lambda step=step: 80.0 if step == 4 else None)
        monitor._show()
        notes.append(monitor.progress.note)
    monitor.progress.close()
    assert ["estimated 80 s in all" in note for note in notes] == [True, True, False]


def test_a_line_for_each_epoch_and_none_twice(artifact_root, capfd):
    draft = open_draft("training", "a" * 32)

    write(draft, 10, [1], 100.0)  # by a process that was killed
    monitor = ProgressMonitor(job_of(draft), "")
    monitor._show()
    write(draft, 15, [1], 101.0)
    monitor._show()
    write(draft, 30, [1, 2, 3], 104.0)
    monitor._show()
    monitor._show()
    write(draft, 40, [1, 2, 3, 4], 106.5)
    monitor._show()
    monitor.progress.close()
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "train 25%"
    two, three, four = (line for line in lines if " of 4: " in line)
    assert two.startswith("epoch 2 of 4: loss 2.000, dev loss 2.500, dev wer 0.500, trained in 2.0 s, about ")
    assert two.endswith(" to go")
    assert three.startswith("epoch 3 of 4: loss 1.333, dev loss 1.667, dev wer 0.333, trained in 2.0 s, about ")
    assert four == "epoch 4 of 4: loss 1.000, dev loss 1.250, dev wer 0.250, trained in 2.5 s"
    assert lines[-1].startswith("train 100%, epoch 4, loss 1.000, dev loss 1.250, dev wer 0.250")
