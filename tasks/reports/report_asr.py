"""Scores to a self-contained HTML page: numbers, learning curve, and utterances to look at and to play."""

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.reports.html_page import as_json, html_heading, html_image, html_table, join_html, put_page
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
        html_heading("Learning curve"),
        html_image(plot_learning_curve(training["history"]), "loss and dev error rates by epoch"),
        html_heading("Corpus"),
        _corpus(corpus, material),
    ]
    for split, told in scores.items():
        body += _confidence(split, told)
        body += [html_heading(f"{split}: by length and speaker")]
        body += [_breakdown(told["by_seconds"]), _breakdown(told["by_speaker"])]
        body += [html_heading(f"{split}: worst utterances"), _worst(told["worst"])]
    body += [html_heading(f"{main}: what the model heard, and when")]
    heard = UtteranceOutput(material.bundle, material.shards, material.features, material.transcripts[0], page.adapt)
    body += utterance_sections(heard, main)
    return put_page(page.title, body, {"report.json": {"title": page.title, "scores": scores, "corpus": corpus}})


def _numbers(scores: dict[str, Any]) -> Markup:
    names = ("split", "WER", "95 % interval", "CER", "oracle WER", "substitutions", "deletions")
    names += ("insertions", "words", "utterances", "without words", "cut at the limit of length", "minutes")
    rows = []
    for split, s in scores.items():
        low, high = s["wer_interval"]
        cells = [Markup("<span class=big>{:.2%}</span>").format(s["wer"]), f"{low:.2%} to {high:.2%}"]
        cells += [f"{s['cer']:.2%}", f"{s['oracle_wer']:.2%}", *(str(s["words"][name]) for name in PARTS)]
        counts = [str(s[name]) for name in ("utterances", "silent", "truncated")]
        rows.append([split, *cells, *counts, f"{s['seconds'] / 60:.1f}"])
    return html_table(names, rows)


def _confidence(split: str, told: dict[str, Any]) -> list[Markup]:
    """How far it can be trusted; nothing where the search knows none."""
    if not told["reliability"]:
        return []
    apart = Markup("<p>expected calibration error <b>{:.3f}</b>, mean {:.2f}")
    picture = html_image(plot_reliability(told["reliability"]), "share of words right, and utterances, by confidence")
    return [html_heading(f"{split}: confidence"), apart.format(told["calibration_error"], told["confidence"]), picture]


def _corpus(summary: dict[str, Any], material: ReportInputs) -> Markup:
    sources = {"shards": material.shards, "features": material.features, "bundle": material.bundle}
    rows = [Markup("<tr><th>{}<td><code>{}</code>").format(name, artifact.digest) for name, artifact in sources.items()]
    left = len(pq.read_table(material.features.file("quarantine.parquet"), columns=["source"]))
    rows.append(Markup("<tr><th>left out for their text<td>{}").format(left))
    rows += _flagged(material.shards)
    page = Markup("<table>{}</table><details><summary>Ingest in numbers</summary>{}</details>")
    return page.format(join_html(rows), as_json(summary))


def _flagged(shards: Artifact) -> list[Markup]:
    """Of each flag in the index how many rows have it, and the first three."""
    index = shards.file("index.parquet")
    if "flag" not in pq.read_schema(index).names:  # of an earlier ingest
        return []
    rows = pq.read_table(index, columns=["flag", "source"], filters=[("flag", "!=", "")]).to_pylist()
    found = {flag: [row["source"] for row in rows if row["flag"] == flag] for flag in sorted({r["flag"] for r in rows})}
    row = Markup("<tr><th>{}<td>{}, first {}")
    return [row.format(flag, len(sources), ", ".join(sources[:3])) for flag, sources in found.items()]


def _breakdown(rows: list[dict[str, Any]]) -> Markup:
    ranked = rows if len(rows) <= 40 else sorted(rows, key=lambda r: -r["wer"])[:40]
    cells = [
        [Markup("<code>{}</code>").format(r["group"][:24]), f"{r['wer']:.1%}", str(r["words"]), str(r["utterances"])]
        for r in ranked
    ]
    return html_table(("group", "WER", "words", "utterances"), cells)


def _worst(rows: list[dict[str, Any]]) -> Markup:
    line = Markup("<tr><td class=n>{errors}<td dir=auto>{reference}<td dir=auto>{text}<td><code>{key}</code>")
    table = Markup("<table><tr><th>errors<th>spoken<th>heard<th>utterance</tr>{}</table>")
    return table.format(join_html(line.format(**row) for row in rows))
