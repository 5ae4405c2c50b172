"""What a training says of itself while workers do it."""

import json
from types import SimpleNamespace

from infra import storage
from infra.artifact_store import open_draft
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import ProgressMonitor


def test_a_line_for_each_epoch_and_none_twice(artifact_root, capfd):
    draft = open_draft("training", "a" * 32)

    def write(step, epochs, seconds):
        history = [{"epoch": e, "step": 10 * e, "loss": 4 / e, "dev_loss": 5 / e, "dev_wer": 1 / e} for e in epochs]
        told = {"step": step, "updates": 40, "epoch": step // 10, "loss": 1.0, "history": history}
        told |= {"estimated_seconds": 80, "seconds": seconds, "core_seconds": seconds}
        storage.write(storage.join(draft.uri, "progress.json"), json.dumps(told).encode())

    job = SimpleNamespace(draft=draft, fit=FitConfig(epochs=4, best_by="wer"))
    write(10, [1], 100.0)  # by a process that was killed
    monitor = ProgressMonitor(job, "")
    monitor._show()
    write(15, [1], 101.0)
    monitor._show()
    write(30, [1, 2, 3], 104.0)
    monitor._show()
    monitor._show()
    write(40, [1, 2, 3, 4], 106.5)
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
