"""A translator's page: scores, comparisons, learning curve, by length, examples with attention, what goes wrong."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.bundles.bundle_files import TRAINING
from tasks.reports.html_page import as_json, html_cards, html_section, join_html, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.sections.run_section import run_section
from tasks.reports.sections.section_html import data_table, facts_table, percent
from tasks.reports.sections.translation_sections import (
    NAMES,
    error_section,
    example_section,
    length_section,
    translation_comparison,
    worst_section,
)
from tasks.scoring.compare_transcripts import Baseline
from tasks.scoring.compare_translations import compare_translations
from tasks.scoring.evaluate_translation import TranslationScoringConfig
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts
from tasks.text.translation_metrics import score_sentences

COMPARISON = "comparison.json"
Row = dict[str, Any]
COLUMNS = Markup(
    '<p class="note">chrF of the best of each n-best: of the hypotheses that the search kept. Perplexity: of the '
    "references, a token. Length ratio: words of the translations to those of the references. Cut: sentences whose "
    "source was longer than the model reads, or whose text came to the search's limit of length. Unknown: tokens that "
    "a vocabulary does not have.</p>"
)


@dataclass(frozen=True, kw_only=True)
class TranslationPage:
    """title: what the page is about. splits: those that the scores are of. settings: of the run, names and values.
    baselines: what the first split is compared with. scoring: how.
    """

    title: str
    splits: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()
    baselines: tuple[Baseline, ...] = ()
    scoring: TranslationScoringConfig = TranslationScoringConfig()


@step
def report_translation(
    bundle: Artifact,
    shards: Artifact,
    translations: tuple[Artifact, ...],
    scores: tuple[Artifact, ...],
    page: TranslationPage,
    run: RunFacts = NO_FACTS,
) -> Artifact:
    """`report.html`, `report.json` with the same numbers, `comparison.json`, and every sentence of a split in
    `SPLIT.json`. run: of the run that made the page.
    """
    history, corpus = bundle.read_json(TRAINING)["history"], shards.read_json("summary.json")
    told = {split: a.read_json("scores.json") for split, a in zip(page.splits, scores, strict=True)}
    said = {split: read_parts(artifact) for split, artifact in zip(page.splits, translations, strict=True)}
    main, languages = page.splits[0], bundle.read_json(TRAINING).get("languages") or {}
    compared = [(one, _comparison(said[main], one, page.scoring)) for one in page.baselines]
    ranked = {split: _ranked(rows) for split, rows in said.items()}
    body = [
        _numbers(told, " to ".join(filter(None, (languages.get("source"), languages.get("target"))))),
        translation_comparison(main, compared, COMPARISON),
        html_section("Learning curve", plot_learning_curves(history, "nats a token", "dev BLEU")),
        *(length_section(split, one["by_length"]) for split, one in told.items()),
        example_section(main, said[main]),
        *(worst_section(split, rows, f"{split}.json") for split, rows in ranked.items()),
        *(error_section(split, one["errors"]) for split, one in told.items()),
        html_section("Corpus", as_json(corpus)),
        run_section(run.facts, bundle, dict(page.settings), (bundle, shards, *translations, *scores)),
    ]
    numbers: Row = {"title": page.title, "scores": told, "corpus": corpus, "run": dict(run.facts)}
    others = [{"role": one.role, "name": one.name, "comparison": found or one.problem} for one, found in compared]
    data = {"report.json": numbers, COMPARISON: others} | {f"{split}.json": rows for split, rows in ranked.items()}
    return put_page(page.title, body, data)


def _comparison(rows: list[Row], baseline: Baseline, scoring: TranslationScoringConfig) -> Row | None:
    there = baseline.transcripts
    return compare_translations(rows, read_parts(there), scoring) if there else None


def _ranked(rows: list[Row]) -> list[Row]:
    """The worst first, without what is only drawn."""
    names = ("key", "source", "source_text", "reference", "text", "score", "truncated", "unknown", "hypotheses")
    scores = score_sentences([row["text"] for row in rows], [row["reference"] for row in rows])
    found = [{name: row[name] for name in names} | {"chrf": score} for row, score in zip(rows, scores, strict=True)]
    return sorted(found, key=lambda row: (row["chrf"], -len(row["reference"]), row["key"]))


def _numbers(told: dict[str, Row], languages: str) -> Markup:
    cards, rows = [], []
    for split, one in told.items():
        low, high = one["bleu_interval"]
        cards.append((f"BLEU, {split}", f"{one['bleu']:.2f}", f"95\u00a0% interval {low:.2f} to {high:.2f}"))
        more = f"TER {one['ter']:.2f}; lowercased BLEU {one['bleu_lowercased']:.2f}"
        cards.append((f"chrF, {split}", f"{one['chrf']:.2f}", more))
        scores = [round(one[name], 2) for name in ("bleu", "bleu_lowercased", "chrf", "ter", "oracle_chrf")]
        other = [one["perplexity"] and round(one["perplexity"], 2), percent(one["length_ratio"])]
        counts = [one[name] for name in ("sentences", "truncated", "unknown_tokens")]
        rows.append([split, f"{low:.2f} to {high:.2f}", *scores, *other, percent(one["exact"]), *counts])
    heads = ("split", "95 % interval of BLEU", *NAMES.values(), "chrF of the best of each n-best", "perplexity")
    heads += ("length ratio", "as the reference", "sentences", "cut", "unknown")
    table = Markup('<div class="scroll">{}</div>').format(data_table(heads, rows))
    first = next(iter(told.values()))
    signatures = facts_table([(NAMES[name], _code(text)) for name, text in first["signatures"].items()])
    named = Markup("<details><summary>sacrebleu signatures</summary>{}</details>").format(signatures)
    pair = Markup('<p class="note">{}</p>').format(languages) if languages else Markup()
    return join_html((pair, html_cards(cards), table, COLUMNS, named))


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)
