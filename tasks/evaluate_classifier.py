"""Predictions to scores: accuracy with its interval, F1, each label and speaker, what is taken for what, the worst.

Of a label c with n_c true, m_c predicted and h_c of both: precision h_c / m_c, recall h_c / n_c, their harmonic mean
F1 = 2 h_c / (n_c + m_c). Macro-F1 is the mean over the labels that are true or predicted anywhere (n_c + m_c > 0).
"""

from collections import Counter
from typing import Any

import numpy as np

from infra.problem import Problem
from infra.store import Artifact, draft
from tasks.evaluate import WORST, Scoring
from tasks.parts import rows_of_parts
from tasks.step import step
from tasks.tokenizer import load_tokenizer

Row = dict[str, Any]


@step
def evaluate_classifier(predictions: Artifact, vocabularies: Artifact, scoring: Scoring) -> Artifact:
    """`scores.json` of a set of predictions."""
    rows = rows_of_parts(predictions)
    if not rows:
        raise Problem(f"{predictions}: nothing to score")
    known = load_tokenizer(vocabularies)
    with draft("scores") as out:
        out.put_json("scores.json", score(rows, [known.decode([i]) for i in range(len(known))], scoring))
    return out.result()


def score(rows: list[Row], labels: list[str], scoring: Scoring) -> dict[str, Any]:
    """All the numbers of rows with label, reference, confidence, nats, speaker, seconds, key and source.

    confusion: (reference, label, rows) of every pair that occurs.
    """
    pairs = Counter((row["reference"], row["label"]) for row in rows)
    true, predicted = (Counter(row[name] for row in rows) for name in ("reference", "label"))
    hits = sum(pairs[label, label] for label in labels)
    by_label = [of_label(label, true[label], predicted[label], pairs[label, label]) for label in labels]
    met = [row["f1"] for row in by_label if row["items"] + row["predicted"]]
    speakers = sorted({row["speaker"] for row in rows})
    return {
        "items": len(rows),
        "seconds": float(sum(row["seconds"] for row in rows)),
        "accuracy": hits / len(rows),
        "accuracy_interval": interval(hits, len(rows), scoring),
        "macro_f1": sum(met) / len(met),
        "loss": sum(row["nats"] for row in rows) / len(rows),
        "by_label": by_label,
        "by_speaker": [of_speaker(name, rows) for name in speakers] if any(speakers) else [],
        "confusion": sorted((*pair, count) for pair, count in pairs.items()),
        "worst": worst(rows),
    }


def interval(hits: int, items: int, scoring: Scoring) -> tuple[float, float]:
    """The 95 % percentile interval of the accuracy when items are drawn again with replacement.

    A hit is drawn each time with probability hits / items: their number is binomial, so it is drawn as that.
    """
    draws = np.random.default_rng(scoring.seed).binomial(items, hits / items, scoring.resamples)
    low, high = np.percentile(draws / items, (2.5, 97.5))
    return float(low), float(high)


def of_label(label: str, true: int, predicted: int, hits: int) -> Row:
    return {
        "label": label,
        "items": true,
        "predicted": predicted,
        "precision": hits / max(predicted, 1),
        "recall": hits / max(true, 1),
        "f1": 2 * hits / max(true + predicted, 1),
    }


def of_speaker(name: str, rows: list[Row]) -> Row:
    mine = [row["label"] == row["reference"] for row in rows if row["speaker"] == name]
    return {"speaker": name or "(unknown)", "items": len(mine), "accuracy": sum(mine) / len(mine)}


def worst(rows: list[Row]) -> list[Row]:
    """The misses, those first that the model was surest of."""
    missed = [row for row in rows if row["label"] != row["reference"]]
    missed.sort(key=lambda row: (-row["confidence"], row["key"]))
    return missed[:WORST]
