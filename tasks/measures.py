"""What an epoch is measured by: the dev split's metrics, each summed over all the workers."""

from dataclasses import dataclass
from typing import ClassVar

import jiwer
import numpy as np
import torch

from infra.problem import Problem
from models.interface import Beam, Classifier, LanguageModel, Model
from tasks.batches import ahead
from tasks.error_counts import errors_of
from tasks.loop import Job, Measure, Place, Row
from tasks.optimise import Fit
from tasks.plan import by_length
from tasks.reading import Passage, predictions
from tasks.sampling import Prompt, written
from tasks.tokenizer import load_tokenizer

GREEDY = Beam(width=1, max_length=10_000)


@dataclass(frozen=True)
class Transcription:
    """dev_loss in nats a token, dev_wer and dev_cer of the greedy search."""

    metrics: ClassVar[tuple[str, ...]] = ("wer", "cer", "loss")

    def __call__(self, job: Job, model: Model, place: Place) -> Row:
        tokens, batches = load_tokenizer(job.tokenizer), share(job, place)
        texts = job.dev.index["text"].to_pylist()
        loss_sums, word_counts, letter_counts = np.zeros(2), np.zeros(4), np.zeros(4)
        for rows, prepared in zip(batches, ahead(job.dev, batches, None), strict=True):
            batch = prepared.to(place.device)
            loss, found = model.loss(batch), model.search(batch.given, GREEDY)
            spoken = [texts[i] for i in rows]
            heard = [tokens.decode(nbest[0].tokens) for nbest in found]
            loss_sums += float(loss.total), float(loss.count)
            word_counts += errors_of(jiwer.process_words(spoken, heard))
            letter_counts += errors_of(jiwer.process_characters(spoken, heard))
        nats, count = place.sum(*loss_sums)
        rates: Row = {"dev_loss": nats / max(count, 1)}
        for name, counts in (("dev_wer", word_counts), ("dev_cer", letter_counts)):
            *errors, length = place.sum(*counts)
            rates[name] = sum(errors) / max(length, 1)
        return rates


@dataclass(frozen=True)
class Prediction:
    """dev_loss in nats a token; dev_error, the share of tokens that were not held the most probable; and a sample.

    carried: the state goes on from chunk to chunk.
    """

    metrics: ClassVar[tuple[str, ...]] = ("loss", "error")
    prompt: Prompt
    carried: bool = False

    def __call__(self, job: Job, model: Model, place: Place) -> Row:
        assert isinstance(model, LanguageModel)
        mine, sums = np.array_split(np.arange(len(job.dev.rows)), place.workers)[place.rank], np.zeros(3)
        passage = Passage(job.dev, job.batching, place.device, carried=self.carried)
        for log_probs, target in predictions(model, passage, mine):
            told, held = log_probs.gather(-1, target[..., None]), log_probs.argmax(-1)
            sums += -float(told.double().sum()), float((held != target).sum()), float(target.numel())
        nats, misses, count = place.sum(*sums)
        row: Row = {"dev_loss": nats / max(count, 1), "dev_error": misses / max(count, 1)}
        if place.rank == 0 and self.prompt.length:
            generator = torch.Generator(place.device).manual_seed(self.prompt.seed)
            row["sample"] = "".join(written(model, load_tokenizer(job.tokenizer), self.prompt, generator))
        return row


@dataclass(frozen=True)
class Classification:
    """dev_error, the share of sequences whose most probable label is another; dev_loss in nats a label."""

    metrics: ClassVar[tuple[str, ...]] = ("error", "loss")

    def __call__(self, job: Job, model: Model, place: Place) -> Row:
        assert isinstance(model, Classifier)
        sums = np.zeros(3)
        for prepared in ahead(job.dev, share(job, place), None):
            batch = prepared.to(place.device)
            log_probs, labels = model.classify(batch.given), batch.target.data[:, 0]
            told = log_probs.gather(1, batch.target.data).double().sum()
            sums += -float(told), float((log_probs.argmax(1) != labels).sum()), len(labels)
        nats, misses, count = place.sum(*sums)
        return {"dev_loss": nats / max(count, 1), "dev_error": misses / max(count, 1)}


def checked(measure: Measure, fit: Fit) -> Measure:
    """The measure. Raises Problem where it does not know the metric that picks the weights."""
    if fit.best_by not in measure.metrics:
        raise Problem(f"fit.best_by={fit.best_by}: this run measures {', '.join(measure.metrics)}; name one of them")
    return measure


def share(job: Job, place: Place) -> list[np.ndarray]:
    """The batches of the dev split that are this worker's, of similar lengths."""
    return by_length(job.dev.frames, job.batching)[place.rank :: place.workers]
