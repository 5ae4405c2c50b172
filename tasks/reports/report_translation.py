"""A translator's page: numbers and learning curve."""

from dataclasses import dataclass

from infra.artifact_store import Artifact
from tasks.reports.html_page import as_json, html_section, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.sections.run_section import run_section
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts


@dataclass(frozen=True, kw_only=True)
class TranslationPage:
    """title: what the page is about. splits: those that the scores are of. settings: of the run, names and values."""

    title: str
    splits: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()


@step
def report_translation(
    bundle: Artifact,
    shards: Artifact,
    translations: tuple[Artifact, ...],
    scores: tuple[Artifact, ...],
    page: TranslationPage,
    run: RunFacts = NO_FACTS,
) -> Artifact:
    """`report.html`, and `report.json` with the same numbers."""
    history = bundle.read_json("training.json")["history"]
    told = {split: a.read_json("scores.json") for split, a in zip(page.splits, scores, strict=True)}
    body = [
        html_section("Scores", as_json(told)),
        html_section("Learning curve", plot_learning_curves(history, "nats a token", "dev")),
        run_section(run.facts, bundle, dict(page.settings), (bundle, shards, *translations, *scores)),
    ]
    return put_page(page.title, body, {"report.json": {"title": page.title, "scores": told, "run": dict(run.facts)}})
