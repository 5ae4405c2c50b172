"""A language model's page: numbers, learning curve, what it wrote after each epoch, how it read a text new to it."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.reports.html_page import as_json, html_cards, html_section, html_table, join_html, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.sections.run_section import run_section
from tasks.reports.token_heatmap import legend, render_tokens
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts

SAMPLES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class LanguagePage:
    """title: what the page is about. split: what the numbers are of. settings: of the run, names and values."""

    title: str
    split: str = "dev"
    settings: tuple[tuple[str, str], ...] = ()


@step
def report_language_model(
    bundle: Artifact, text: Artifact, stream: Artifact, scores: Artifact, page: LanguagePage, run: RunFacts = NO_FACTS
) -> Artifact:
    """`report.html`, and `report.json` with the same numbers. run: of the run that made the page."""
    history, numbers = bundle.read_json("training.json")["history"], scores.read_json("scores.json")
    corpus = text.read_json("summary.json") | {"vocabulary": stream.read_json("stream.json")["vocabulary"]}
    body = [
        _numbers(numbers, page.split),
        html_section("Learning curve", plot_learning_curves(history, "nats a token", "dev tokens missed")),
        html_section("What it writes", *_samples(history)),
        html_section(
            "How probable it held each character of a text it was not trained on",
            legend(),
            *(render_tokens(chunk) for chunk in scores.read_json("reading.json")),
        ),
        html_section("Corpus", as_json(corpus)),
        run_section(run.facts, bundle, dict(page.settings), (bundle, text, stream, scores)),
    ]
    told = {"title": page.title, "scores": numbers, "corpus": corpus, "run": dict(run.facts)}
    return put_page(page.title, body, {"report.json": told})


def _numbers(n: dict[str, Any], split: str) -> Markup:
    names = ("split", "nats a token", "perplexity", "bits a token", "bits a character", "accuracy", "tokens")
    cells = [f"{n['loss']:.4f}", f"{n['perplexity']:.3f}", f"{n['bits_per_token']:.3f}"]
    cells += [f"{n['bits_per_character']:.3f}", f"{n['accuracy']:.2%}", str(n["tokens"])]
    cards = [
        (f"perplexity, {split}", f"{n['perplexity']:.3f}", f"{n['loss']:.4f} nats a token"),
        (f"bits a character, {split}", f"{n['bits_per_character']:.3f}", f"{n['tokens']:,} tokens"),
    ]
    return join_html((html_cards(cards), html_table(names, [[split, *cells]])))


def _samples(history: list[dict[str, Any]]) -> list[Markup]:
    """Of some epochs, the last one included: text that shows how the model learned to write."""
    rows = [row for row in history if row.get("sample")]
    every = max(1, -(-len(rows) // SAMPLES_SHOWN))
    section = Markup(
        "<article><small>epoch {epoch}, dev loss {dev_loss:.3f}</small>"
        '<div dir="auto" class="tokens sample">{sample}</div></article>'
    )
    return [section.format(**row) for row in rows[::-1][::every][::-1]]
