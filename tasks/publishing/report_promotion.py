"""A challenger against the champion on the frozen test set: the decision with its evidence, as a page and in MLflow."""

import json
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from infra import tracking
from infra.artifact_store import Artifact
from infra.errors import UserError
from infra.model_registry import CHALLENGER, CHAMPION, Decision, apply_decision
from tasks.reports.html_page import put_page
from tasks.reports.sections.promotion_section import changed_section, decision_section, slices_section
from tasks.reports.utterance_table import SoundLimits, choose_sounds, write_sounds
from tasks.scoring.decide_promotion import (
    PairedErrors,
    PromotionRule,
    decide_promotion,
    group_utterances,
    pair_transcripts,
)
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import load_tokenizer

Row = dict[str, Any]
DECISION = "decision.json"
FOLDER = "promotion"  # of the challenger's MLflow run
SOUNDS = SoundLimits(inline=20, files=80)
KEPT = ("key", "speaker", "seconds", "reference", "text", "other_text", "errors", "other_errors")


@dataclass(frozen=True)
class Contest:
    """transcripts, other_transcripts: of challenger and champion, of the same rows of `dataset`. tokenizer: the
    challenger's, whose rules the texts of both are normalized by. champion_data: what the champion was trained on, a
    data set or shards, None where the store has it no more.
    """

    transcripts: Artifact
    other_transcripts: Artifact
    dataset: Artifact
    tokenizer: Artifact
    champion_data: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class PromotionPage:
    """challenger, champion: what people call them."""

    title: str
    split: str
    challenger: str
    champion: str
    rule: PromotionRule = PromotionRule()


@step
def report_promotion(contest: Contest, page: PromotionPage) -> Artifact:
    """`decision.json` with the verdict and its evidence, `report.html`, and sound of what changed in `audio/`.

    Utterances that the champion was trained on, which came to dev or test later, are left out: it would be better on
    them for no merit.
    """
    rows, rules = read_parts(contest.transcripts), load_tokenizer(contest.tokenizer).text
    others = [row | {"text": normalize_text(row["text"], rules)} for row in read_parts(contest.other_transcripts)]
    index = {row["key"]: row for row in _read(contest.dataset, ["key", "sha256", "clip_sha256", "tags"])}
    heard = _trained_clips(contest.champion_data)
    kept = [row for row in rows if not heard & {index[row["key"]][name] for name in ("sha256", "clip_sha256")}]
    if not kept:
        raise UserError(f"{contest.dataset}: no utterance of {page.split} that the champion was not trained on")
    pairs, told = pair_transcripts(kept, others, page.rule.metric)
    groups = group_utterances(told, {key: row["tags"] for key, row in index.items()})
    verdict = decide_promotion(pairs, groups, page.rule)
    better, worse = (_changed(told, pairs, sign) for sign in (-1, 1))
    decision: Row = {"promoted": verdict.promoted, "reason": verdict.reason, "split": page.split}
    decision |= {"challenger": page.challenger, "champion": page.champion, "left_out": len(rows) - len(kept)}
    decision |= verdict.evidence
    sounds = [choose_sounds(those, contest.dataset, SOUNDS) for those in (worse, better)]
    body = [decision_section(decision), slices_section(decision)]
    body += [
        changed_section(which, those, sound, DECISION)
        for which, those, sound in zip(("worse", "better"), (worse, better), sounds, strict=True)
    ]
    kept_rows = {name: [{n: row[n] for n in KEPT} for row in of] for name, of in (("better", better), ("worse", worse))}
    return put_page(page.title, body, {DECISION: decision | kept_rows}, write_sounds(sounds))


def _read(data: Artifact, columns: list[str]) -> list[Row]:
    return pq.read_table(data.file("index.parquet"), columns=columns).to_pylist()


def _trained_clips(data: Artifact | None) -> set[str]:
    """The SHA-256 of the clips, as they came and as they are stored, of a data set's or of shards' training split."""
    if data is None:
        return set()
    table = pq.read_table(data.file("index.parquet"), filters=[("split", "==", "train")])
    names = {"sha256", "clip_sha256"} & set(table.column_names)
    return {digest for name in names for digest in table[name].to_pylist()}


def _changed(rows: list[Row], pairs: PairedErrors, sign: int) -> list[Row]:
    """The utterances with more (sign 1) or fewer errors than the champion's, the most changed first."""
    changes = (pairs.errors - pairs.other_errors).tolist()
    found = [(change, row) for change, row in zip(changes, rows, strict=True) if change * sign > 0]
    return [row for _, row in sorted(found, key=lambda one: (-abs(one[0]), one[1]["key"]))]


def publish_decision(page: Artifact, name: str, version: str, champion: str, run_id: str) -> Decision:
    """The challenger's alias by what `report_promotion` found, and the evidence in its MLflow run. Harmless to repeat.

    name, version: of the challenger. champion: the version that it was compared with.
    """
    found = page.read_json(DECISION)
    command = "" if found["promoted"] else f"; scriptorium promote {name} {version}"
    tracking.log_files(run_id, [(one, page.file(one)) for one in page.names()], FOLDER)
    overall = found["overall"]
    numbers = {"difference": overall["difference"], "low": overall["low"], "high": overall["high"]}
    tracking.log_metrics(run_id, [(f"promotion_{what}", value, 0) for what, value in numbers.items()])
    tracking.set_tag(run_id, "promotion", json.dumps({"promoted": found["promoted"], "reason": found["reason"]}))
    alias = CHAMPION if found["promoted"] else CHALLENGER
    return apply_decision(name, version, Decision(alias, found["reason"] + command, champion, page.uri))
