"""Translations to scores: BLEU, chrF and TER with intervals and signatures, perplexity, by length, what goes wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.scoring.paired_bootstrap import resample_sums
from tasks.scoring.translation_errors import analyze_translations
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.data_digest import digest_references
from tasks.text.translation_metrics import METRICS, SentenceSums, count_sentences, score_sentences

WORD_EDGES = (10, 20, 30, 40, 60)  # of a source
WORST = 20
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TranslationScoringConfig:
    """resamples, seed: of the bootstrap over sentences, which gives the 95 % intervals (Koehn 2004,
    https://aclanthology.org/W04-3250).
    """

    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"scoring.resamples is 1 or more, not {self.resamples}")


@step
def evaluate_translation(translations: Artifact, scoring: TranslationScoringConfig) -> Artifact:
    """`scores.json` of a set of translations."""
    rows = read_parts(translations)
    if not rows:
        raise UserError(f"{translations}: nothing to score")
    with new_draft("scores") as out:
        out.put_json("scores.json", score_translations(rows, scoring))
    return out.result()


def score_translations(rows: Sequence[Row], scoring: TranslationScoringConfig) -> Row:
    """All the numbers of rows of TRANSLATIONS: of each metric its score, NAME_interval, and its signature in
    `signatures`. length_ratio: words of the texts to those of the references, as BLEU counts them. perplexity, loss: of
    the references, a token, in nats; null where no reference could be scored.
    """
    texts, references = ([row[name] for row in rows] for name in ("text", "reference"))
    sums = {name: count_sentences(name, texts, references) for name in METRICS}
    numbers: Row = {}
    for name, found in sums.items():
        numbers |= {name: found.corpus_score(), f"{name}_interval": _interval(found, scoring)}
    return {
        "sentences": len(rows),
        "data": digest_references((row["key"], row["reference"]) for row in rows),
        **numbers,
        "signatures": {name: found.signature for name, found in sums.items()},
        "length_ratio": _length_ratio(sums["bleu"]),
        **_perplexity(rows),
        "truncated": sum(row["truncated"] for row in rows),
        "unknown_tokens": sum(row["unknown"] for row in rows),
        "exact": sum(text == reference for text, reference in zip(texts, references, strict=True)) / len(rows),
        "oracle_chrf": _oracle(rows),
        "by_length": _by_length(rows, sums),
        "errors": analyze_translations(rows),
        "worst": worst_translations(rows),
    }


def _interval(sums: SentenceSums, scoring: TranslationScoringConfig) -> tuple[float, float]:
    drawn = resample_sums(sums.counts, scoring.resamples, scoring.seed)
    low, high = np.percentile([sums.score(total) for total in drawn], (2.5, 97.5))
    return float(low), float(high)


def _length_ratio(bleu: SentenceSums, rows: Any = slice(None)) -> float | None:
    """sacrebleu counts first the words of the text, then those of the reference."""
    said, expected = bleu.counts[rows, :2].sum(0).tolist()
    return said / expected if expected else None


def _perplexity(rows: Sequence[Row]) -> Row:
    known = [row for row in rows if row["reference_log_prob"] is not None]
    tokens = sum(row["reference_tokens"] for row in known)
    loss = -math.fsum(row["reference_log_prob"] for row in known) / tokens if tokens else None
    perplexity = math.exp(loss) if loss is not None and loss < math.log(1e300) else None
    return {"loss": loss, "perplexity": perplexity, "references_unscored": len(rows) - len(known)}


def _oracle(rows: Sequence[Row]) -> float:
    """chrF of the corpus if the best of each n-best were known."""
    choices = [(i, one["text"]) for i, row in enumerate(rows) for one in row["hypotheses"]]
    if not choices:
        return 0.0
    sums = count_sentences("chrf", [text for _, text in choices], [rows[i]["reference"] for i, _ in choices])
    best: dict[int, tuple[float, int]] = {}
    for place, (i, _) in enumerate(choices):
        score = sums.score(sums.counts[place])
        best[i] = max(best.get(i, (-1.0, -1)), (score, -place))
    return sums.corpus_score([-place for _, place in best.values()])


def _by_length(rows: Sequence[Row], sums: dict[str, SentenceSums]) -> list[Row]:
    """Groups of sentences by the words of their sources, as far as there are any."""
    places = np.searchsorted(WORD_EDGES, [len(row["source_text"].split()) for row in rows], side="right")
    found = []
    for place in np.unique(places).tolist():
        mine = places == place
        scores = {name: one.corpus_score(mine) for name, one in sums.items()}
        ratio = _length_ratio(sums["bleu"], mine)
        found.append({"group": length_group(place), "sentences": int(mine.sum()), **scores, "length_ratio": ratio})
    return found


def length_group(place: int) -> str:
    begin = WORD_EDGES[place - 1] if place else 0
    return f"{begin} to {WORD_EDGES[place] - 1}" if place < len(WORD_EDGES) else f"{begin} and more"


def worst_translations(rows: Sequence[Row]) -> list[Row]:
    """Those with the lowest chrF, longer references first among the same."""
    scores = score_sentences([row["text"] for row in rows], [row["reference"] for row in rows])
    order = sorted(range(len(rows)), key=lambda i: (scores[i], -len(rows[i]["reference"]), rows[i]["key"]))
    names = ("key", "source", "source_text", "reference", "text", "truncated")
    return [{name: rows[i][name] for name in names} | {"chrf": scores[i]} for i in order[:WORST] if scores[i] < 100]
