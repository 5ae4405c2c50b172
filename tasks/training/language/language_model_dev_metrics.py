"""What an epoch of a language model is measured by (tasks/training/dev_metrics.py has the others)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from models.interface import LanguageModel, Model
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.decoding.lm_log_probs import StreamChunks, lm_log_probs
from tasks.text.tokenizer import load_tokenizer
from tasks.training.train_loop import Row, TrainJob, WorkerRank


@dataclass(frozen=True)
class LanguageModelMetrics:
    """dev_loss in nats a token; dev_error, the share of tokens that were not held the most probable; and a sample.

    carried: the state goes on from chunk to chunk.
    """

    metrics: ClassVar[tuple[str, ...]] = ("loss", "error")
    prompt: Prompt
    carried: bool = False

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row:
        assert isinstance(model, LanguageModel)
        rows, sums, share = np.arange(len(job.dev.rows)), np.zeros(3), (worker.rank, worker.workers)
        passage = StreamChunks(job.dev, job.batching, worker.device, carried=self.carried)
        for log_probs, target in lm_log_probs(model, passage, rows, share):
            told, predicted = log_probs.gather(-1, target[..., None]), log_probs.argmax(-1)
            sums += -float(told.double().sum()), float((predicted != target).sum()), float(target.numel())
        nats, misses, count = worker.sum(*sums)
        row: Row = {"dev_loss": nats / max(count, 1), "dev_error": misses / max(count, 1)}
        if worker.rank == 0 and self.prompt.length:
            generator = torch.Generator(worker.device).manual_seed(self.prompt.seed)
            row["sample"] = "".join(generate_text(model, load_tokenizer(job.tokenizer), self.prompt, generator))
        return row
