"""Translations to scores: BLEU (sacrebleu)."""

from dataclasses import dataclass

from sacrebleu.metrics.bleu import BLEU

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.data_digest import digest_references


@dataclass(frozen=True, kw_only=True)
class TranslationScoringConfig:
    """lowercase: whether case counts."""

    lowercase: bool = False


@step
def evaluate_translation(translations: Artifact, scoring: TranslationScoringConfig) -> Artifact:
    """`scores.json` of a set of translations."""
    rows = read_parts(translations)
    if not rows:
        raise UserError(f"{translations}: nothing to score")
    metric = BLEU(lowercase=scoring.lowercase, force=True)
    bleu = metric.corpus_score([row["text"] for row in rows], [[row["reference"] for row in rows]])
    told = {"bleu": bleu.score, "signature": str(metric.get_signature()), "items": len(rows)}
    with new_draft("scores") as out:
        digest = digest_references((row["key"], row["reference"]) for row in rows)
        out.put_json("scores.json", told | {"data": digest})
    return out.result()
