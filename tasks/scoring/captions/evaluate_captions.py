"""Captions to scores: BLEU, CIDEr-D, METEOR, chrF, novelty, and whether the model looks at what it names."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.features.image_front_end import ImageFrontEnd
from tasks.scoring.captions.attention_in_boxes import attention_in_boxes
from tasks.scoring.captions.caption_metrics import bleu_scores, score_captions
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.data_digest import digest_references

WORST = 20


@dataclass(frozen=True, kw_only=True)
class CaptionContext:
    """trained_on: the features that the model was trained on, None where they are not known. front_end: how it sees
    photos.
    """

    trained_on: Artifact | None
    front_end: ImageFrontEnd


@step
def evaluate_captions(captions: Artifact, context: CaptionContext, scoring: ScoringConfig) -> Artifact:
    """`scores.json` of the decoded captions of one split. scoring: of comparisons with other models."""
    rows = read_parts(captions)
    if not rows:
        raise UserError(f"{captions}: no photos to score")
    with new_draft("scores") as out:
        told = caption_scores(rows, training_captions(context.trained_on))
        told |= {"looked": attention_in_boxes(rows, context.front_end)}
        out.put_json("scores.json", told | {"resamples": scoring.resamples})
    return out.result()


def training_captions(features: Artifact | None) -> Iterator[str]:
    """Normalized, as the references are."""
    if features is not None:
        table = pq.read_table(features.file("index.parquet"), columns=["captions"], filters=[("split", "==", "train")])
        for captions in table["captions"]:
            yield from captions.as_py()


def caption_scores(rows: list[dict[str, Any]], training: Iterator[str]) -> dict[str, Any]:
    """All the numbers of rows with `key`, `text`, `references` and `truncated`; the worst photos by BLEU-1."""
    said, meant = [row["text"] for row in rows], [row["references"] for row in rows]
    told = asdict(score_captions(said, meant, training))
    bleu = told.pop("bleu")
    told |= {f"bleu_{order}": score for order, score in enumerate(bleu, 1)}
    if told["novelty"] != told["novelty"]:  # not known
        del told["novelty"]
    each = [bleu_scores([text], [those])[0] for text, those in zip(said, meant, strict=True)]
    order = sorted(range(len(rows)), key=lambda i: (each[i], rows[i]["key"]))
    right = [text in those for text, those in zip(said, meant, strict=True)]
    return told | {
        "data": digest_references((row["key"], " ".join(row["references"])) for row in rows),
        "exact": sum(right) / len(rows),
        "truncated": sum(row["truncated"] for row in rows),
        "worst": [rows[i]["key"] for i in order[:WORST]],
        "best": [rows[i]["key"] for i in order[::-1][:WORST]],
    }
