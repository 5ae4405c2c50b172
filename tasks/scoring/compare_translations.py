"""Two sets of translations of the same sentences: by how much one is better, and where."""

from collections.abc import Sequence
from typing import Any

from tasks.scoring.evaluate_translation import TranslationScoringConfig
from tasks.scoring.paired_bootstrap import paired_score_bootstrap
from tasks.text.data_digest import digest_references
from tasks.text.translation_metrics import DESCENDING, METRICS, count_sentences, score_sentences

Row = dict[str, Any]


def compare_translations(rows: Sequence[Row], others: Sequence[Row], scoring: TranslationScoringConfig) -> Row | None:
    """None where these are not the same sentences with the same references.

    metrics: of each its `score`, `other_score`, `difference`, `interval`, `improvement`, `p_value` and `verdict` (see
    tasks/scoring/paired_bootstrap.py). better, worse: the sentences whose chrF is above or below the other's, those
    first where it is most: `key`, `source_text`, `reference`, `text`, `other_text`, `chrf`, `other_chrf`. same: how
    many have the same.
    """
    if not rows or _digest(rows) != _digest(others):
        return None
    theirs = {row["key"]: row["text"] for row in others}
    texts, other_texts = [row["text"] for row in rows], [theirs[row["key"]] for row in rows]
    references, metrics = [row["reference"] for row in rows], dict[str, Row]()
    for name in METRICS:
        mine, other = (count_sentences(name, said, references) for said in (texts, other_texts))
        how = {"resamples": scoring.resamples, "seed": scoring.seed, "descending": DESCENDING[name]}
        found = paired_score_bootstrap(mine.counts, other.counts, mine.score, **how)
        told = {"score": found.score, "other_score": found.other_score, "difference": found.difference}
        told |= {"interval": (found.low, found.high), "improvement": found.improvement, "p_value": found.p_value}
        metrics[name] = told | {"verdict": found.verdict}
    scores, other_scores = score_sentences(texts, references), score_sentences(other_texts, references)
    names = ("key", "source_text", "reference", "text")
    changed = [
        {name: row[name] for name in names} | {"other_text": said, "chrf": score, "other_chrf": other}
        for row, said, score, other in zip(rows, other_texts, scores, other_scores, strict=True)
        if score != other
    ]
    changed.sort(key=lambda row: (-abs(row["chrf"] - row["other_chrf"]), row["key"]))
    return {
        "sentences": len(rows),
        "metrics": metrics,
        "better": [row for row in changed if row["chrf"] > row["other_chrf"]],
        "worse": [row for row in changed if row["chrf"] < row["other_chrf"]],
        "same": len(rows) - len(changed),
    }


def _digest(rows: Sequence[Row]) -> str:
    return digest_references((row["key"], row["reference"]) for row in rows)
