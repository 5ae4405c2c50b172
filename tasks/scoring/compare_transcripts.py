"""Two sets of transcripts of the same utterances: by how much one is better, and where."""

from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np

from infra.artifact_store import Artifact
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.paired_bootstrap import paired_bootstrap
from tasks.text.data_digest import digest_references
from tasks.text.error_counts import count_errors

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a model is compared with. role: "champion" or "run before". name: for people. transcripts: those that it
    wrote of the same utterances; None where there are none, for which problem is the reason.
    """

    role: str
    name: str
    transcripts: Artifact | None = None
    problem: str = ""


def compare_transcripts(rows: list[Row], others: list[Row], scoring: ScoringConfig) -> dict[str, Any] | None:
    """None where these are not the same utterances with the same references.

    wer, other_wer, difference, interval, improvement and verdict: of tasks/scoring/paired_bootstrap.py. better, worse:
    the utterances in which there are fewer or more word errors than in the other's, those first where it is most:
    `key`, `reference`, `text`, `other_text`, `errors`, `other_errors`. same: how many have as many errors in both.
    """
    if not rows or _digest(rows) != _digest(others):
        return None
    theirs = {row["key"]: row["text"] for row in others}
    pairs = [row | {"other_text": theirs[row["key"]]} for row in rows]
    counts, other = (
        np.array([count_errors(jiwer.process_words(row["reference"], row[name])) for row in pairs])
        for name in ("text", "other_text")
    )
    errors, other_errors = counts[:, :3].sum(1), other[:, :3].sum(1)
    found = paired_bootstrap(errors, other_errors, counts[:, 3], resamples=scoring.resamples, seed=scoring.seed)
    names = ("key", "reference", "text", "other_text")
    told = [
        {name: row[name] for name in names} | {"errors": int(mine), "other_errors": int(their)}
        for row, mine, their in zip(pairs, errors, other_errors, strict=True)
    ]
    changed = [row for row in told if row["errors"] != row["other_errors"]]
    changed.sort(key=lambda row: (-abs(row["errors"] - row["other_errors"]), row["key"]))
    return {
        "utterances": len(rows),
        "wer": found.rate,
        "other_wer": found.other_rate,
        "difference": found.difference,
        "interval": (found.low, found.high),
        "improvement": found.improvement,
        "verdict": found.verdict,
        "better": [row for row in changed if row["errors"] < row["other_errors"]],
        "worse": [row for row in changed if row["errors"] > row["other_errors"]],
        "same": len(told) - len(changed),
    }


def _digest(rows: list[Row]) -> str:
    return digest_references((row["key"], row["reference"]) for row in rows)
