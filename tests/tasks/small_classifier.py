"""Labeled texts and tones, written for a test, and a classifier small enough to be trained in one."""

import json

import numpy as np
import soundfile
from small_corpora import tone

from models import sequence_classifier
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.features.augment import AugmentConfig
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.optimizer import FitConfig
from tasks.training.train_classifier import ClassifierTrainingConfig

WORDS = {"of animals": ["fox", "dog", "cat"], "of fruit": ["plum", "pear", "fig"]}
LETTERS = TokenizerConfig()


def texts(path, rows=()):
    random = np.random.default_rng(0)
    lines = [{"text": t, "label": label, "split": split} for t, label, split in rows]
    for i in range(0 if rows else 90):
        label = list(WORDS)[i % 2]
        text = f"{i}: " + " ".join(random.choice(WORDS[label], random.integers(1, 5)))
        lines.append({"text": text, "label": label, "split": ("dev", "test", "train", "train")[i // 2 % 4]})
    path.write_text("\n".join(map(json.dumps, lines)))
    return f"labeled:{path}"


def clips(folder):
    """Low and high tones of several speakers."""
    folder.mkdir()
    rows = ["audio,label,split,speaker"]
    for i in range(60):
        wave = tone(i + 100 * (i % 2), 0.15) + 0.01 * np.random.default_rng(i).standard_normal(1200).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", wave, 8000)
        rows.append(f"{i}.wav,{('low', 'high')[i % 2]},{('dev', 'test', 'train', 'train')[i // 2 % 4]},s{i % 3}")
    (folder / "clips.csv").write_text("\n".join(rows))
    return f"labeled:{folder}"


def training(epochs=2, **changes):
    model = sequence_classifier.Config(
        source="tokens", embedding_size=8, recurrent=Recurrent(hidden_size=12, bidirectional=True), readout="max"
    )
    how = {"optimizer": "AdamW", "optimizer_options": {}, "schedule": "", "clip_norm": 5.0, "learning_rate": 2e-2}
    told = {
        "model": model,
        "features": LETTERS,
        "augment": AugmentConfig(),
        "batching": BatchingConfig(utterances_per_batch=8),
    }
    return ClassifierTrainingConfig(**(told | {"fit": FitConfig(epochs=epochs, best_by="error", **how)} | changes))


def rows_of(pairs):
    """Predictions of (reference, label, confidence)."""
    same = {"speaker": "", "seconds": 1.0, "nats": 0.5, "source": "t"}
    return [
        {"key": f"{i:03}", "reference": r, "label": said, "confidence": c} | same
        for i, (r, said, c) in enumerate(pairs)
    ]
