"""A feature artifact made on the spot, in which every letter is a few frames of its own band; and a job to kill."""

import json
import sys
from pathlib import Path

import numpy as np

from infra.artifact_store import Artifact, new_draft
from infra.errors import one_line_errors
from infra.keyboard_interrupt import force_exit_on_interrupt
from models import deep_speech_2
from tasks.batches.batch_sampler import BatchingConfig
from tasks.corpora.utterance import QUARANTINE
from tasks.features.augment import AugmentConfig
from tasks.features.extract_features import INDEX, _append
from tasks.features.feature_shards import FeatureSums
from tasks.features.front_end import FrontEnd
from tasks.ingest import tar
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_asr import TrainingConfig, train_asr

LETTERS = "abcde"
SIZE = 8


def made(
    folder: Path, utterances: int, frames_a_letter: int = 6, letters: str = LETTERS, gain: float = 1.0
) -> tuple[Artifact, Artifact]:
    """Features (train and dev) and tokenizer. gain: what all frames are multiplied by."""
    random, kept, sums = np.random.default_rng(0), [], FeatureSums()
    with new_draft("tokenizer") as out:
        out.put_json("tokenizer.json", {"kind": "characters", "text": {}, "symbols": list(letters)})
    with new_draft("features") as made_features:
        for split, count in (("train", utterances), ("dev", 8)):
            name = f"{split}-00000.tar"
            with (folder / name).open("wb") as file, tar.SampleWriter(file) as shard:
                for i in range(count):
                    jumps = random.integers(1, len(letters), random.integers(2, 7))  # no letter twice in a row
                    ids = (jumps.cumsum() % len(letters)).tolist()
                    text = "".join(letters[j] for j in ids)
                    frames = np.eye(SIZE, dtype=np.float32)[ids].repeat(
                        frames_a_letter if i % 2 else max(4, frames_a_letter), 0
                    )
                    frames = gain * frames
                    frames += 0.1 * random.standard_normal(frames.shape).astype(np.float32)
                    told = {"key": f"{split}{i:04}", "split": split, "shard": name, "speaker": "s", "source": text}
                    row = told | {"seconds": len(frames) / 100}
                    kept.append(_append(shard, row, text, frames, [j + 4 for j in ids]))
                    if split == "train":
                        sums.add(frames)
            made_features.put(name, folder / name)
        made_features.put("index.parquet", to_parquet(to_table(kept, INDEX)))
        made_features.put("quarantine.parquet", to_parquet(QUARANTINE.empty_table()))
        made_features.put_json("statistics.json", sums.described())
    return made_features.result(), out.result()


def training(epochs: int, hidden_size: int = 16, **fit) -> TrainingConfig:
    options = {"time_kernels": (3,), "time_strides": (2,), "frequency_kernels": (3,), "frequency_strides": (2,)}
    options |= {"cell": "gru", "share_input": False, "norm": "input"}
    model = deep_speech_2.Config(channels=(4,), hidden_size=hidden_size, layers=1, **options)
    how = {"optimizer": "AdamW", "optimizer_options": {}, "schedule": "", "clip_norm": 5.0, "learning_rate": 1e-2}
    return TrainingConfig(
        model=model,
        front_end=FrontEnd(kind="given"),
        augment=AugmentConfig(),
        batching=BatchingConfig(frames_per_batch=20000, utterances_per_batch=4),
        fit=FitConfig(epochs=epochs, **(how | fit)),
    )


def job_to_kill() -> tuple[TrainingConfig, dict]:
    """Long enough to be caught in mid-epoch: updates of some 50 ms, a checkpoint every third."""
    return training(3, 96, batches_per_step=2, checkpoint_steps=3, trail=True), {"frames_a_letter": 60}


if __name__ == "__main__":
    force_exit_on_interrupt("interrupted")
    place, workers = Path(sys.argv[1]), int(sys.argv[2])
    work, how = job_to_kill()
    with one_line_errors():
        features, tokenizer = made(place, 160, **how)
        print(json.dumps({"digest": train_asr.fn(features, tokenizer, work, Workers(count=workers)).digest}))
