"""BLEU, chrF and TER of texts beside their references, by sacrebleu (Post 2018, https://aclanthology.org/W18-6319).

Each is a function of sums over sentences, so that what a sentence adds to them is counted once: the score of a corpus,
of a group of its sentences, of one sentence, and of a resample are all made of these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

METRICS: dict[str, Callable[[], Metric]] = {
    "bleu": lambda: BLEU(force=True),  # cased, 13a
    "bleu_lowercased": lambda: BLEU(force=True, lowercase=True),  # as Multi30k's published figures are
    "chrf": CHRF,
    "ter": TER,
}
DESCENDING = {"bleu": True, "bleu_lowercased": True, "chrf": True, "ter": False}  # whether more is better


@dataclass(frozen=True)
class SentenceSums:
    """What one metric counts in each of N sentences: (N, K)."""

    metric: Metric
    counts: np.ndarray

    @property
    def signature(self) -> str:
        """Of sacrebleu, which says how a score was made, version included."""
        return self.metric.get_signature().format()

    def score(self, counts: np.ndarray) -> float:
        """In [0, 100], TER perhaps above: of the sums (K,) over some sentences."""
        return _score(self.metric, counts)

    def corpus_score(self, rows: Any = slice(None)) -> float:
        """Of these sentences together, by default of all."""
        return self.score(self.counts[rows].sum(0))


def _score(metric: Metric, counts: np.ndarray) -> float:
    return float(metric._compute_score_from_stats(counts.tolist()).score)  # noqa: SLF001  (no public name)


def corpus_score(name: str, counts: np.ndarray) -> float:
    """name: of METRICS. counts: what `count_sentences` gives, summed over the sentences (K,)."""
    return _score(METRICS[name](), counts)


def count_sentences(name: str, texts: Sequence[str], references: Sequence[str]) -> SentenceSums:
    """name: of METRICS. As sacrebleu's own bootstrap does, by the counts that it makes of each sentence."""
    metric = METRICS[name]()
    counts = metric._extract_corpus_statistics(texts, [references])  # noqa: SLF001  (no public name)
    return SentenceSums(metric, np.array(counts, float))


def score_sentences(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each alone: BLEU is made for a corpus, and says 0 of most sentences without a common 4-gram."""
    sums = count_sentences("chrf", texts, references)
    return [sums.score(row) for row in sums.counts]
