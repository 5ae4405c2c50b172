"""Predictions to scores: accuracy with its interval, F1, each label and speaker, what is taken for what, the worst.

Of a label c with n_c true, m_c predicted and h_c of both: precision h_c / m_c, recall h_c / n_c, their harmonic mean
F1 = 2 h_c / (n_c + m_c). Macro-F1 is the mean over the labels that are true or predicted anywhere (n_c + m_c > 0).
"""

from collections import Counter
from typing import Any

import numpy as np

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.scoring.evaluate_asr import WORST, ScoringConfig
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.data_digest import digest_references
from tasks.text.tokenizer import load_tokenizer

Row = dict[str, Any]


@step
def evaluate_classifier(predictions: Artifact, vocabularies: Artifact, scoring: ScoringConfig) -> Artifact:
    """`scores.json` of a set of predictions."""
    rows = read_parts(predictions)
    if not rows:
        raise UserError(f"{predictions}: nothing to score")
    known = load_tokenizer(vocabularies)
    with new_draft("scores") as out:
        out.put_json("scores.json", score_predictions(rows, [known.decode([i]) for i in range(len(known))], scoring))
    return out.result()


def score_predictions(rows: list[Row], labels: list[str], scoring: ScoringConfig) -> dict[str, Any]:
    """All the numbers of rows with label, reference, confidence, nats, speaker, seconds, key and source.

    confusion: (reference, label, rows) of every pair that occurs.
    """
    pairs = Counter((row["reference"], row["label"]) for row in rows)
    true, predicted = (Counter(row[name] for row in rows) for name in ("reference", "label"))
    hits = sum(pairs[label, label] for label in labels)
    by_label = [label_scores(label, true[label], predicted[label], pairs[label, label]) for label in labels]
    met = [row["f1"] for row in by_label if row["items"] + row["predicted"]]
    speakers = sorted({row["speaker"] for row in rows})
    return {
        "items": len(rows),
        "data": digest_references((row["key"], row["reference"]) for row in rows),
        "seconds": float(sum(row["seconds"] for row in rows)),
        "accuracy": hits / len(rows),
        "accuracy_interval": accuracy_interval(hits, len(rows), scoring),
        "macro_f1": sum(met) / len(met),
        "loss": sum(row["nats"] for row in rows) / len(rows),
        "by_label": by_label,
        "by_speaker": [speaker_scores(name, rows) for name in speakers] if any(speakers) else [],
        "confusion": sorted((*pair, count) for pair, count in pairs.items()),
        "worst": worst_errors(rows),
    }


def accuracy_interval(hits: int, items: int, scoring: ScoringConfig) -> tuple[float, float]:
    """The 95 % percentile interval of the accuracy when items are drawn again with replacement.

    A hit is drawn each time with probability hits / items: their number is binomial, so it is drawn as that.
    """
    draws = np.random.default_rng(scoring.seed).binomial(items, hits / items, scoring.resamples)
    low, high = np.percentile(draws / items, (2.5, 97.5))
    return float(low), float(high)


def label_scores(label: str, true: int, predicted: int, hits: int) -> Row:
    return {
        "label": label,
        "items": true,
        "predicted": predicted,
        "precision": hits / max(predicted, 1),
        "recall": hits / max(true, 1),
        "f1": 2 * hits / max(true + predicted, 1),
    }


def speaker_scores(name: str, rows: list[Row]) -> Row:
    mine = [row["label"] == row["reference"] for row in rows if row["speaker"] == name]
    return {"speaker": name or "(unknown)", "items": len(mine), "accuracy": sum(mine) / len(mine)}


def worst_errors(rows: list[Row]) -> list[Row]:
    """The misses, those first that the model was surest of."""
    missed = [row for row in rows if row["label"] != row["reference"]]
    missed.sort(key=lambda row: (-row["confidence"], row["key"]))
    return missed[:WORST]
