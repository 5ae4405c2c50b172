"""Scores to a self-contained HTML page: numbers, learning curve, and utterances to look at and to play."""

import html
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from infra.artifact_store import Artifact
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.reports.html_page import as_json, html_image, html_table, put_page
from tasks.reports.plot_learning_curve import plot_learning_curve
from tasks.reports.plot_reliability import plot_reliability
from tasks.reports.report_utterances import UtteranceOutput, utterance_sections
from tasks.steps.pipeline_step import step

PARTS = ("substitutions", "deletions", "insertions", "reference")  # of a word error rate


@dataclass(frozen=True, kw_only=True)
class ASRPage:
    """title: what the page is about. architecture, lm_architecture: of the model and of the neural language model in
    its bundle, whose code is part of the task's key. adapt: as the transcripts were made.
    """

    title: str
    architecture: str
    splits: tuple[str, ...]
    lm_architecture: str = ""
    adapt: AdaptationConfig = AdaptationConfig()

    @property
    def code(self) -> tuple[str, ...]:
        return tuple(f"models.{name}" for name in (self.architecture, self.lm_architecture) if name)


@dataclass(frozen=True)
class ReportInputs:
    """What a page is made of; transcripts and scores one for each of its splits."""

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: tuple[Artifact, ...]
    scores: tuple[Artifact, ...]


@step
def report_asr(material: ReportInputs, page: ASRPage) -> Artifact:
    """`report_asr.html`, and `report_asr.json` with the same numbers."""
    training = material.bundle.read_json("training.json")
    scores = {s: a.read_json("scores.json") for s, a in zip(page.splits, material.scores, strict=True)}
    corpus = material.shards.read_json("summary.json")
    main = page.splits[0]
    body = [
        _numbers(scores),
        "<h2>Learning curve</h2>",
        html_image(plot_learning_curve(training["history"]), "loss and dev error rates by epoch"),
        "<h2>Corpus</h2>",
        _corpus(corpus, material),
    ]
    for split, told in scores.items():
        body += _confidence(split, told)
        body += [f"<h2>{html.escape(split)}: by length and speaker</h2>"]
        body += [_breakdown(told["by_seconds"]), _breakdown(told["by_speaker"])]
        body += [f"<h2>{html.escape(split)}: worst utterances</h2>", _worst(told["worst"])]
    body += [f"<h2>{html.escape(main)}: what the model heard, and when</h2>"]
    heard = UtteranceOutput(material.bundle, material.shards, material.features, material.transcripts[0], page.adapt)
    body += utterance_sections(heard, main)
    return put_page(page.title, body, {"report.json": {"title": page.title, "scores": scores, "corpus": corpus}})


def _numbers(scores: dict[str, Any]) -> str:
    names = ("split", "WER", "95 % interval", "CER", "oracle WER", "substitutions", "deletions")
    names += ("insertions", "words", "utterances", "without words", "cut at the limit of length", "minutes")
    rows = []
    for split, s in scores.items():
        low, high = s["wer_interval"]
        cells = [f"<span class=big>{s['wer']:.2%}</span>", f"{low:.2%} to {high:.2%}"]
        cells += [f"{s['cer']:.2%}", f"{s['oracle_wer']:.2%}", *(str(s["words"][name]) for name in PARTS)]
        counts = [str(s[name]) for name in ("utterances", "silent", "truncated")]
        rows.append([html.escape(split), *cells, *counts, f"{s['seconds'] / 60:.1f}"])
    return html_table(names, rows)


def _confidence(split: str, told: dict[str, Any]) -> list[str]:
    """How far it can be trusted; nothing where the search knows none."""
    if not told["reliability"]:
        return []
    apart = f"expected calibration error <b>{told['calibration_error']:.3f}</b>, mean {told['confidence']:.2f}"
    picture = html_image(plot_reliability(told["reliability"]), "share of words right, and utterances, by confidence")
    return [f"<h2>{html.escape(split)}: confidence</h2><p>{apart}", picture]


def _corpus(summary: dict[str, Any], material: ReportInputs) -> str:
    sources = {"shards": material.shards, "features": material.features, "bundle": material.bundle}
    rows = [f"<tr><th>{name}<td><code>{artifact.digest}</code>" for name, artifact in sources.items()]
    left = len(pq.read_table(material.features.file("quarantine.parquet"), columns=["source"]))
    rows.append(f"<tr><th>left out for their text<td>{left}")
    return f"<table>{''.join(rows)}</table><details><summary>Ingest in numbers</summary>{as_json(summary)}</details>"


def _breakdown(rows: list[dict[str, Any]]) -> str:
    ranked = rows if len(rows) <= 40 else sorted(rows, key=lambda r: -r["wer"])[:40]
    cells = [
        [f"<code>{html.escape(r['group'][:24])}</code>", f"{r['wer']:.1%}", str(r["words"]), str(r["utterances"])]
        for r in ranked
    ]
    return html_table(("group", "WER", "words", "utterances"), cells)


def _worst(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"<tr><td class=n>{r['errors']}<td dir=auto>{html.escape(r['reference'])}<td dir=auto>{html.escape(r['text'])}"
        f"<td><code>{html.escape(r['key'])}</code>"
        for r in rows
    ]
    return f"<table><tr><th>errors<th>spoken<th>heard<th>utterance</tr>{''.join(lines)}</table>"
