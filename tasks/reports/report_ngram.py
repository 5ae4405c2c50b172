"""An n-gram model's page: numbers, what each order is worth, n-grams and discounts, how it reads lines new to it."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.ngram.train_ngram import SUMMARY
from tasks.reports.html_page import as_json, html_section, html_table, put_page
from tasks.reports.token_heatmap import legend, render_tokens
from tasks.steps.pipeline_step import step


@dataclass(frozen=True, kw_only=True)
class NGramPage:
    """title: what the page is about."""

    title: str


@step
def report_ngram(model: Artifact, text: Artifact, scores: Artifact, page: NGramPage) -> Artifact:
    """`report.html`, and `report.json` with the same numbers."""
    made, numbers, reading = model.read_json(SUMMARY), scores.read_json("scores.json"), scores.read_json("reading.json")
    corpus = text.read_json("summary.json") | {"counted": made["text"], "vocabulary": made["ngrams"][0]}
    body = [
        _numbers(numbers),
        html_section("n-grams", _orders(made)),
        html_section("The most surprising lines", legend(), *_ranked(reading["oddest"])),
        html_section("The surest lines", *_ranked(reading["surest"])),
        html_section(
            "How probable it held each token of lines that were not counted",
            *(render_tokens(line) for line in reading["passages"]),
        ),
        html_section("Corpus", as_json(corpus)),
    ]
    told = {"ngrams": made["ngrams"], "orders": made["orders"], "config": made["config"]}
    told = {"title": page.title, "scores": numbers, "corpus": corpus, "model": told}
    return put_page(page.title, body, {"report.json": told})


def _numbers(numbers: dict[str, Any]) -> Markup:
    """A row for each order that was measured, the model itself last."""
    names = ("order", "perplexity", "of known tokens", "bits a token", "bits a character", "unknown", "tokens", "lines")
    told = ("perplexity", "perplexity_of_known", "bits_per_token", "bits_per_character")
    rows = [
        [
            str(n["order"]),
            *(f"{n[name]:,.3f}" for name in told),
            f"{n['unknown']:.2%}",
            f"{n['tokens']:,}",
            f"{n['sentences']:,}",
        ]
        for n in numbers["orders"]
    ]
    return html_table(names, rows)


def _orders(made: dict[str, Any]) -> Markup:
    """How many n-grams there are, and what is taken from those seen once, twice and more often."""
    names = ("order", "n-grams", "seen", "D1", "D2", "D3+", "")
    rows = [
        [
            str(k),
            f"{kept:,}",
            f"{order['seen']:,}",
            *(f"{d:.3f}" for d in order["values"]),
            "" if order["found"] else "fallback",
        ]
        for k, (kept, order) in enumerate(zip(made["ngrams"], made["orders"], strict=True), 1)
    ]
    return html_table(names, rows)


def _ranked(lines: list[tuple[float, list[tuple[str, float]]]]) -> list[Markup]:
    section = Markup("<article><small>{:.2f} bits a token</small>{}</article>")
    return [section.format(bits, render_tokens(line)) for bits, line in lines]
