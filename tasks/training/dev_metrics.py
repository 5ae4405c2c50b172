"""What an epoch is measured by: the dev split's metrics, each summed over all the workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jiwer
import numpy as np
from sacrebleu.metrics.bleu import BLEU, MAX_NGRAM_ORDER

from infra.errors import UserError
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Beam, Classifier, Model
from tasks.batches.batch_loader import prefetch
from tasks.batches.batch_sampler import bucket_by_length
from tasks.text.error_counts import count_errors
from tasks.text.tokenizer import load_tokenizer
from tasks.training.optimizer import FitConfig
from tasks.training.train_loop import DevMetrics, Row, TrainJob, WorkerRank

GREEDY = Beam(width=1)


@dataclass(frozen=True)
class TranscriptionMetrics:
    """dev_loss in nats a token, dev_wer and dev_cer of the greedy search."""

    metrics: ClassVar[tuple[str, ...]] = ("wer", "cer", "loss")

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row:
        tokens, batches = load_tokenizer(job.tokenizer), dev_batches(job, worker)
        texts = job.dev.index["text"].to_pylist()
        loss_sums, word_counts, letter_counts = np.zeros(2), np.zeros(4), np.zeros(4)
        for rows, prepared in zip(batches, prefetch(job.dev, batches, None), strict=True):
            batch = prepared.to(worker.device)
            loss, found = model.loss(batch), model.search(batch.given, GREEDY)
            spoken = [texts[i] for i in rows]
            heard = [tokens.decode(nbest[0].tokens) for nbest in found]
            loss_sums += float(loss.total), float(loss.count)
            word_counts += count_errors(jiwer.process_words(spoken, heard))
            letter_counts += count_errors(jiwer.process_characters(spoken, heard))
        nats, count = worker.sum(*loss_sums)
        rates: Row = {"dev_loss": nats / max(count, 1)}
        for name, counts in (("dev_wer", word_counts), ("dev_cer", letter_counts)):
            *errors, length = worker.sum(*counts)
            rates[name] = sum(errors) / max(length, 1)
        return rates


@dataclass(frozen=True)
class ClassificationMetrics:
    """dev_error, the share of sequences whose most probable label is another; dev_loss in nats a label."""

    metrics: ClassVar[tuple[str, ...]] = ("error", "loss")

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row:
        assert isinstance(model, Classifier)
        sums = np.zeros(3)
        for prepared in prefetch(job.dev, dev_batches(job, worker), None):
            batch = prepared.to(worker.device)
            log_probs, labels = model.classify(batch.given), batch.target.data[:, 0]
            told = log_probs.gather(1, batch.target.data).double().sum()
            sums += -float(told), float((log_probs.argmax(1) != labels).sum()), len(labels)
        nats, misses, count = worker.sum(*sums)
        return {"dev_loss": nats / max(count, 1), "dev_error": misses / max(count, 1)}


@dataclass(frozen=True)
class TranslationMetrics:
    """dev_loss in nats a token, without label smoothing; where it picks the weights dev_bleu of the greedy search,
    in [0, 100] (sacrebleu's default: cased, 13a).
    """

    metrics: ClassVar[tuple[str, ...]] = ("loss", "bleu")

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row:
        assert isinstance(model, SequenceToSequence)
        tokens, batches = load_tokenizer(job.tokenizer), dev_batches(job, worker)
        references = job.dev.index["text"].to_pylist()
        matches, sums = np.zeros(2 + 2 * MAX_NGRAM_ORDER), np.zeros(2)
        for rows, prepared in zip(batches, prefetch(job.dev, batches, None), strict=True):
            batch = prepared.to(worker.device)
            sums += -float(model.score(batch).double().sum()), float(job.dev.tokens[rows].sum())
            if job.fit.best_by == "bleu":
                said = [tokens.decode(nbest[0].tokens) for nbest in model.search(batch.given, GREEDY)]
                matches += count_matches(said, [references[row] for row in rows])
        nats, count = worker.sum(*sums)
        row: Row = {"dev_loss": nats / max(count, 1)}
        if job.fit.best_by == "bleu":
            row["dev_bleu"] = bleu_of_matches(worker.sum(*matches))
        return row


def count_matches(said: list[str], references: list[str]) -> tuple[float, ...]:
    """What BLEU is made of, which can be summed over batches: both lengths in words, then of each n-gram order those
    that are in the reference, then all that were said.
    """
    found = BLEU(force=True).corpus_score(said, [references])
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)


def bleu_of_matches(matches: Sequence[float]) -> float:
    said, expected, *counts = map(int, matches)
    found, every = counts[:MAX_NGRAM_ORDER], counts[MAX_NGRAM_ORDER:]
    return BLEU.compute_bleu(found, every, said, expected, smooth_method="exp").score


def check_metric(measure: DevMetrics, fit: FitConfig) -> DevMetrics:
    """The measure. Raises UserError where it does not know the metric that picks the weights."""
    if fit.best_by not in measure.metrics:
        raise UserError(f"fit.best_by={fit.best_by}: this run measures {', '.join(measure.metrics)}; name one of them")
    return measure


def dev_batches(job: TrainJob, worker: WorkerRank) -> list[np.ndarray]:
    """The batches of the dev split that are this worker's, of similar lengths."""
    return bucket_by_length(job.dev.frames, job.batching)[worker.rank :: worker.workers]
