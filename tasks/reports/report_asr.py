"""Scores to a self-contained HTML page: numbers, learning curve, and utterances to look at and to play."""

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.reports.html_page import as_json, html_cards, html_figure, html_section, html_table, join_html, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.plots.plot_reliability import plot_reliability
from tasks.reports.report_utterances import UtteranceOutput, utterance_articles
from tasks.reports.utterance_table import SoundLimits, choose_sounds, rank_utterances, utterance_table, write_sounds
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step

TWO_SEARCHES = Markup(
    '<p class="note">After each epoch dev is decoded greedily, with the weights of that epoch: the curve. The numbers '
    "at the top are of the final search, with its beam and language model where it has them, and of the weights that "
    "were kept. So the two differ.</p>"
)
INLINE_BYTES = 600_000  # of MP3 in the page, of all splits
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
    """`report.html`, `report.json` with the same numbers, and the sound of utterances in `audio/`."""
    training = material.bundle.read_json("training.json")
    scores = {s: a.read_json("scores.json") for s, a in zip(page.splits, material.scores, strict=True)}
    corpus = material.shards.read_json("summary.json")
    main = page.splits[0]
    curves = plot_learning_curves(training["history"], "nats a token", "dev error rates")
    body = [_numbers(scores), html_section("Learning curve", curves, TWO_SEARCHES)]
    sounds, limits = [], SoundLimits(inline_bytes=INLINE_BYTES // len(page.splits))
    for split, transcripts in zip(page.splits, material.transcripts, strict=True):
        ranked = rank_utterances(read_parts(transcripts))
        sounds.append(choose_sounds(ranked, material.shards, limits))
        body += [utterance_table(split, ranked, sounds[-1])]
    for split, told in scores.items():
        body += _confidence(split, told)
        groups = [_breakdown(told["by_seconds"]), _breakdown(told["by_speaker"])]
        body += [html_section(f"{split}: by length and speaker", *groups)]
    heard = UtteranceOutput(material.bundle, material.shards, material.features, material.transcripts[0], page.adapt)
    body += [html_section(f"{main}: what the model heard, and when", *utterance_articles(heard, main))]
    body += [html_section("Corpus", _corpus(corpus, material))]
    numbers = {"report.json": {"title": page.title, "scores": scores, "corpus": corpus}}
    return put_page(page.title, body, numbers, write_sounds(sounds))


def _numbers(scores: dict[str, Any]) -> Markup:
    names = ("split", "WER", "95 % interval", "CER", "oracle WER", "substitutions", "deletions")
    names += ("insertions", "words", "utterances", "without words", "cut at the limit of length", "minutes")
    rows, cards = [], []
    for split, s in scores.items():
        low, high = s["wer_interval"]
        interval = f"{low:.2%} to {high:.2%}"
        cards.append((f"WER, {split}", f"{s['wer']:.2%}", f"{interval} with 95 %; CER {s['cer']:.2%}"))
        cells = [f"{s['wer']:.2%}", interval, f"{s['cer']:.2%}", f"{s['oracle_wer']:.2%}"]
        cells += [str(s["words"][name]) for name in PARTS]
        cells += [str(s[name]) for name in ("utterances", "silent", "truncated")]
        rows.append([split, *cells, f"{s['seconds'] / 60:.1f}"])
    return join_html((html_cards(cards), html_table(names, rows)))


def _confidence(split: str, told: dict[str, Any]) -> list[Markup]:
    """How far it can be trusted; nothing where the search knows none."""
    if not told["reliability"]:
        return []
    apart = Markup("<p>expected calibration error <b>{:.3f}</b>, mean {:.2f}</p>")
    picture = html_figure(plot_reliability(told["reliability"]), "share of words right, and utterances, by confidence")
    numbers = apart.format(told["calibration_error"], told["confidence"])
    return [html_section(f"{split}: confidence", numbers, picture)]


def _corpus(summary: dict[str, Any], material: ReportInputs) -> Markup:
    sources = {"shards": material.shards, "features": material.features, "bundle": material.bundle}
    row = Markup("<tr><th>{}</th><td><code>{}</code></td></tr>")
    rows = [row.format(name, artifact.digest) for name, artifact in sources.items()]
    left = len(pq.read_table(material.features.file("quarantine.parquet"), columns=["source"]))
    rows.append(Markup("<tr><th>left out for their text</th><td>{}</td></tr>").format(left))
    rows += _flagged(material.shards)
    page = Markup(
        '<div class="scroll"><table>{}</table></div><details><summary>Ingest in numbers</summary>{}</details>'
    )
    return page.format(join_html(rows), as_json(summary))


def _flagged(shards: Artifact) -> list[Markup]:
    """Of each flag in the index how many rows have it, and the first three."""
    index = shards.file("index.parquet")
    if "flag" not in pq.read_schema(index).names:  # of an earlier ingest
        return []
    rows = pq.read_table(index, columns=["flag", "source"], filters=[("flag", "!=", "")]).to_pylist()
    found = {flag: [row["source"] for row in rows if row["flag"] == flag] for flag in sorted({r["flag"] for r in rows})}
    row = Markup("<tr><th>{}</th><td>{}, first {}</td></tr>")
    return [row.format(flag, len(sources), ", ".join(sources[:3])) for flag, sources in found.items()]


def _breakdown(rows: list[dict[str, Any]]) -> Markup:
    ranked = rows if len(rows) <= 40 else sorted(rows, key=lambda r: -r["wer"])[:40]
    cells = [
        [Markup("<code>{}</code>").format(r["group"][:24]), f"{r['wer']:.1%}", str(r["words"]), str(r["utterances"])]
        for r in ranked
    ]
    return html_table(("group", "WER", "words", "utterances"), cells)
