"""A classifier's page: numbers, learning curve, confusion matrix, every label, and the misses it was surest of."""

from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.reports.html_page import as_json, html_cards, html_figure, html_section, html_table, join_html, put_page
from tasks.reports.plots.plot_confusion import MOST_DRAWN, plot_confusion
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.sample_preview import render_sample
from tasks.reports.sections.run_section import run_section
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts

LABELS_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class ClassifierPage:
    """title: what the page is about. splits: those that the scores are of. settings: of the run, names and values."""

    title: str
    splits: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()


@step
def report_classifier(
    bundle: Artifact,
    shards: Artifact,
    features: Artifact,
    scores: tuple[Artifact, ...],
    page: ClassifierPage,
    run: RunFacts = NO_FACTS,
) -> Artifact:
    """`report.html`, and `report.json` with the same numbers. run: of the run that made the page."""
    history, corpus = bundle.read_json("training.json")["history"], shards.read_json("summary.json")
    told = {split: a.read_json("scores.json") for split, a in zip(page.splits, scores, strict=True)}
    left = len(pq.read_table(features.file("quarantine.parquet"), columns=["source"]))
    body = [
        _numbers(told),
        html_section("Learning curve", plot_learning_curves(history, "nats a sequence", "dev sequences missed")),
    ]
    for split, found in told.items():
        body += [html_section(f"{split}: what is taken for what", *_confusion(found))]
        body += [html_section(f"{split}: by label", _by_label(found["by_label"]))]
        if found["by_speaker"]:
            body += [html_section(f"{split}: by speaker", _by_speaker(found["by_speaker"]))]
        body += [html_section(f"{split}: the misses it was surest of", *_worst(found["worst"], shards))]
    body += [
        html_section(
            "Corpus",
            Markup("<p>{} rows were left out when features were made: their quarantine.parquet says why.</p>").format(
                left
            ),
            as_json(corpus),
        )
    ]
    body += [run_section(run.facts, bundle, dict(page.settings), (bundle, shards, features, *scores))]
    numbers = {"title": page.title, "scores": told, "corpus": corpus, "run": dict(run.facts)}
    return put_page(page.title, body, {"report.json": numbers})


def _numbers(told: dict[str, dict[str, Any]]) -> Markup:
    rows, cards = [], []
    for split, n in told.items():
        low, high = n["accuracy_interval"]
        cards.append((f"accuracy, {split}", f"{n['accuracy']:.2%}", f"{low:.2%} to {high:.2%} with 95 %"))
        cells = [
            f"{n['accuracy']:.2%}",
            f"{low:.2%} to {high:.2%}",
            f"{n['macro_f1']:.4f}",
        ]
        rows.append([split, *cells, f"{n['loss']:.4f}", str(n["items"])])
    names = ("split", "accuracy", "95 % interval", "macro-F1", "loss, nats", "items")
    return join_html((html_cards(cards), html_table(names, rows)))


def _confusion(found: dict[str, Any]) -> list[Markup]:
    labels = {label for pair in found["confusion"] for label in pair[:2]}
    told = Markup("<p>The {} of {} labels that are missed most often.</p>").format(MOST_DRAWN, len(labels))
    note = [told] if len(labels) > MOST_DRAWN else []
    return [*note, html_figure(plot_confusion(found["confusion"]), "true labels down, predicted labels across")]


def _by_label(rows: list[dict[str, Any]]) -> Markup:
    """Every label, the worst first."""
    ranked = sorted(rows, key=lambda row: (row["f1"], row["label"]))[:LABELS_SHOWN]
    cells = [
        [
            row["label"],
            *(f"{row[name]:.1%}" for name in ("precision", "recall", "f1")),
            *(str(row[name]) for name in ("items", "predicted")),
        ]
        for row in ranked
    ]
    return html_table(("label", "precision", "recall", "F1", "true", "predicted"), cells)


def _by_speaker(rows: list[dict[str, Any]]) -> Markup:
    ranked = sorted(rows, key=lambda row: (row["accuracy"], row["speaker"]))[:LABELS_SHOWN]
    cells = [[row["speaker"][:24], f"{row['accuracy']:.1%}", str(row["items"])] for row in ranked]
    return html_table(("speaker", "accuracy", "items"), cells)


def _worst(rows: list[dict[str, Any]], shards: Artifact) -> list[Markup]:
    if not rows:
        return [Markup("<p>None was missed.</p>")]
    return [_miss(row, render_sample(shards, row["key"])) for row in rows]


def _miss(row: dict[str, Any], sample: Markup) -> Markup:
    return Markup(
        '<article><b dir="auto">{reference}</b>, taken for <b dir="auto">{label}</b> with confidence {confidence:.2f}'
        "<br><small><code>{source}</code></small>{sample}</article>"
    ).format(**row, sample=sample)
