"""A comparison's page: the leaderboard, and the learning curves of all its trainings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.reports.html_page import html_figure, html_section, html_table, join_html, put_page
from tasks.reports.plots.plot_comparison import Curve, plot_overlay, plot_panels
from tasks.steps.pipeline_step import step
from tasks.training.leaderboard import LeaderboardEntry, Ranking, Row, entry_metrics, rank_recipes


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """key: names its MLflow run. columns: (name, heading, format) of the leaderboard. failed: (training, what went
    wrong) of those that have no entry.
    """

    key: str
    title: str
    corpus: str
    ranking: Ranking
    columns: tuple[tuple[str, str, str], ...]
    failed: tuple[tuple[str, str], ...] = ()


@step
def report_comparison(entries: tuple[LeaderboardEntry, ...], comparison: Comparison) -> Artifact:
    """`report.html`, and `leaderboard.json` with its rows, the best first, and the numbers of each training."""
    ranking, found = comparison.ranking, [(entry, entry_metrics(entry)) for entry in entries]
    board = rank_recipes(((entry.recipe, row) for entry, row in found), ranking)
    curves = _curves(entries, board, ranking)
    overlay, panels = (plot(curves, ranking.curve_label) for plot in (plot_overlay, plot_panels))
    body = [
        html_section("Leaderboard", _leaderboard(board, comparison.columns)),
        *_failures(comparison.failed),
        html_section("Learning curves", html_figure(overlay, "learning curves of all recipes, the best in color")),
        html_section("Each among all", html_figure(panels, "a panel for each recipe")),
        html_section("Every training", _leaderboard({entry.label: row for entry, row in found}, comparison.columns)),
    ]
    told: dict[str, Any] = {"title": comparison.title, "failed": dict(comparison.failed)}
    told |= {"recipes": [{"recipe": recipe} | row for recipe, row in board.items()]}
    told |= {"trainings": [{"recipe": entry.recipe, "seed": entry.seed} | row for entry, row in found]}
    return put_page(comparison.title, body, {"leaderboard.json": told})


def _curves(entries: Sequence[LeaderboardEntry], board: Iterable[str], ranking: Ranking) -> list[Curve]:
    runs: dict[str, list[tuple[tuple[int, ...], tuple[float, ...]]]] = {recipe: [] for recipe in board}
    for entry in entries:
        history = entry.bundle.read_json("training.json")["history"]
        runs[entry.recipe].append((tuple(r["step"] for r in history), tuple(r[ranking.curve] for r in history)))
    return [Curve(recipe, tuple(drawn)) for recipe, drawn in runs.items()]


def _leaderboard(board: dict[str, Row], columns: tuple[tuple[str, str, str], ...]) -> Markup:
    shown = [column for column in columns if any(column[0] in row for row in board.values())]
    cells = ([form.format(row[name]) if name in row else "" for name, _, form in shown] for row in board.values())
    lines = ([recipe, *line] for recipe, line in zip(board, cells, strict=True))
    return html_table(("recipe", *(heading for _, heading, _ in shown)), lines)


def _failures(failed: tuple[tuple[str, str], ...]) -> list[Markup]:
    lines = join_html(Markup("<li>{}: {}").format(label, line) for label, line in failed)
    return [html_section("Failed", Markup("<ul>{}</ul>").format(lines))] if failed else []
