"""What an epoch of a captioner is measured by (tasks/training/dev_metrics.py has the others)."""

from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from sacrebleu.metrics.bleu import BLEU, MAX_NGRAM_ORDER

from models.families.captioner import Captioner
from models.families.end_to_end_captioner import EndToEndCaptioner
from models.interface import Beam, Model
from tasks.batches.batch_loader import prefetch
from tasks.batches.caption_dataset import CaptionDataset
from tasks.text.tokenizer import load_tokenizer
from tasks.training.dev_metrics import bleu_of_matches, dev_batches
from tasks.training.train_loop import Row, TrainJob, WorkerRank

BEAM = Beam(width=3)  # with which Vinyals et al. and Xu et al. choose their weights too
PHOTOS_AT_ONCE = 64


@dataclass(frozen=True)
class CaptionMetrics:
    """dev_loss in nats a token, without label smoothing and penalties; where it picks the weights dev_bleu, BLEU-4 of
    each distinct photo's decoded caption against all of its captions, in [0, 100].
    """

    metrics: ClassVar[tuple[str, ...]] = ("loss", "bleu")

    def __call__(self, job: TrainJob, model: Model, worker: WorkerRank) -> Row:
        assert isinstance(model, Captioner | EndToEndCaptioner)
        assert isinstance(job.dev, CaptionDataset)
        sums = np.zeros(2)
        batches = dev_batches(job, worker)
        for rows, prepared in zip(batches, prefetch(job.dev, batches, None), strict=True):
            sums += -float(model.score(prepared.to(worker.device)).double().sum()), float(job.dev.tokens[rows].sum())
        nats, count = worker.sum(*sums)
        row: Row = {"dev_loss": nats / max(count, 1)}
        if job.fit.best_by == "bleu":
            row["dev_bleu"] = bleu_of_matches(worker.sum(*self._matches(job, model, worker)))
        return row

    def _matches(self, job: TrainJob, model: Captioner | EndToEndCaptioner, worker: WorkerRank) -> np.ndarray:
        """What BLEU is made of, of this worker's photos."""
        tokens, photos = load_tokenizer(job.tokenizer), job.dev.photos
        every = [photos[i : i + PHOTOS_AT_ONCE] for i in range(0, len(photos), PHOTOS_AT_ONCE)]
        mine, matches = every[worker.rank :: worker.workers], np.zeros(2 + 2 * MAX_NGRAM_ORDER)
        references = job.dev.index["references"].to_pylist()
        for rows, prepared in zip(mine, prefetch(job.dev, mine, None), strict=True):
            said = [tokens.decode(nbest[0].tokens) for nbest in model.search(prepared.to(worker.device).given, BEAM)]
            matches += count_matches(said, [references[row] for row in rows.tolist()])
        return matches


def count_matches(said: list[str], references: list[list[str]]) -> tuple[float, ...]:
    """The lengths in words of what was said and of the references nearest to it, then of each n-gram order those that
    are in a reference, then all that were said: they can be summed over batches.
    """
    most = max(map(len, references))
    streams = [[told[i] if i < len(told) else None for told in references] for i in range(most)]
    found = BLEU(force=True).corpus_score(said, cast("list[list[str]]", streams))  # None: it has fewer
    return (found.sys_len, found.ref_len, *found.counts, *found.totals)
