"""Transcripts to error rates: WER and CER with their parts and intervals, by length and by speaker, the worst first.

A rate is that of the whole corpus: all errors over all reference words, those put in where nothing was said included.
Beside them the WER of an oracle, which knows the best of each utterance's n-best, and whether the confidence is right.
"""

from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.scoring.calibration import calibration
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.data_digest import digest_references
from tasks.text.error_counts import count_errors

SECONDS_EDGES = (2.0, 4.0, 8.0, 16.0)
WORST = 20


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """resamples, seed: of the bootstrap over utterances, which gives the 95 % interval (Bisani & Ney 2004)."""

    resamples: int = 2000
    seed: int = 0


@step
def evaluate_asr(transcripts: Artifact, scoring: ScoringConfig) -> Artifact:
    """`scores.json` with the error rates of a set of transcripts."""
    rows = read_parts(transcripts)
    if not rows:
        raise UserError(f"{transcripts}: no utterances to score")
    with new_draft("scores") as out:
        out.put_json("scores.json", score_transcripts(rows, scoring))
    return out.result()


def score_transcripts(rows: list[dict[str, Any]], scoring: ScoringConfig) -> dict[str, Any]:
    """All the numbers of rows with `text`, `reference`, `speaker`, `seconds`, `key`, `confidence`, `truncated` and
    `hypotheses`. silent: utterances whose reference is empty. truncated: whose text came to the search's limit.
    """
    words = np.array([count_errors(jiwer.process_words(r["reference"], r["text"])) for r in rows])
    letters = np.array([count_errors(jiwer.process_characters(r["reference"], r["text"])) for r in rows])
    oracle = np.array([oracle_errors(r, errors) for r, errors in zip(rows, words, strict=True)])
    confidence = np.array([r["confidence"] for r in rows], dtype=float)
    return {
        "utterances": len(rows),
        "data": digest_references((r["key"], r["reference"]) for r in rows),
        "silent": sum(not r["reference"] for r in rows),
        "truncated": sum(bool(r.get("truncated")) for r in rows),
        "seconds": float(sum(r["seconds"] for r in rows)),
        "wer": error_rate(words),
        "wer_interval": confidence_interval(words, scoring),
        "cer": error_rate(letters),
        "cer_interval": confidence_interval(letters, scoring),
        "sentence_errors": float((words[:, :3].sum(1) > 0).mean()),
        "oracle_wer": error_rate(oracle),
        "words": error_parts(words),
        "oracle_words": error_parts(oracle),
        "characters": error_parts(letters),
        "confidence": None if np.isnan(confidence).all() else float(np.nanmean(confidence)),
        **calibration(confidence, word_accuracy(words)),
        "by_seconds": error_breakdown(words, [length_bucket(r["seconds"]) for r in rows]),
        "by_speaker": error_breakdown(words, [r["speaker"] or "(unknown)" for r in rows]),
        "worst": worst_utterances(rows, words),
    }


def oracle_errors(row: dict[str, Any], errors: np.ndarray) -> np.ndarray:
    """Of the hypothesis with the fewest word errors, the first of several. errors: those of the row's `text`."""
    least = errors
    for text in dict.fromkeys(h["text"] for h in row["hypotheses"]):
        if not least[:3].any():
            break
        found = np.array(count_errors(jiwer.process_words(row["reference"], text)))
        least = found if found[:3].sum() < least[:3].sum() else least
    return least


def word_accuracy(words: np.ndarray) -> np.ndarray:
    """The share of words that are right of all that were spoken or put in, for each utterance: 1 if nothing is wrong.

    A confidence, a mean over the tokens of an utterance, is held against it: unlike the words that were heard, it also
    falls with each word that was left out, and unlike a whole utterance it can be half right.
    """
    substituted, deleted, inserted, spoken = words.T
    wrong, every = substituted + deleted + inserted, spoken + inserted
    return 1 - wrong / np.maximum(1, every)


def error_rate(counts: np.ndarray) -> float:
    return float(counts[:, :3].sum() / max(1, counts[:, 3].sum()))


def error_parts(counts: np.ndarray) -> dict[str, int]:
    names = ("substitutions", "deletions", "insertions", "reference")
    return {name: int(total) for name, total in zip(names, counts.sum(0), strict=True)}


def confidence_interval(counts: np.ndarray, scoring: ScoringConfig) -> tuple[float, float]:
    """The 95 % percentile interval of the rate when utterances are drawn again with replacement."""
    random = np.random.default_rng(scoring.seed)
    errors, lengths = counts[:, :3].sum(1), counts[:, 3]
    draws = random.integers(0, len(counts), (scoring.resamples, len(counts)))
    rates = errors[draws].sum(1) / np.maximum(1, lengths[draws].sum(1))
    low, high = np.percentile(rates, (2.5, 97.5))
    return float(low), float(high)


def length_bucket(seconds: float) -> str:
    edges = (0.0, *SECONDS_EDGES)
    i = int(np.searchsorted(SECONDS_EDGES, seconds, side="right"))
    return f"{edges[i]:g} to {SECONDS_EDGES[i]:g} s" if i < len(SECONDS_EDGES) else f"{edges[-1]:g} s and more"


def error_breakdown(words: np.ndarray, groups: list[str]) -> list[dict[str, Any]]:
    names = np.array(groups)
    rows = []
    for name in dict.fromkeys(sorted(groups, key=_natural)):
        mine = words[names == name]
        rows.append({"group": name, "utterances": len(mine), "words": int(mine[:, 3].sum()), "wer": error_rate(mine)})
    return rows


def worst_utterances(rows: list[dict[str, Any]], words: np.ndarray) -> list[dict[str, Any]]:
    errors = words[:, :3].sum(1)
    order = sorted(range(len(rows)), key=lambda i: (-errors[i], -errors[i] / max(1, words[i, 3]), rows[i]["key"]))
    names = ("key", "speaker", "seconds", "reference", "text", "confidence")
    return [{n: rows[i][n] for n in names} | {"errors": int(errors[i])} for i in order[:WORST] if errors[i]]


def _natural(name: str) -> tuple[float, str]:
    head = name.split(" ")[0]
    return (float(head) if head.replace(".", "", 1).isdigit() else 0.0, name)
