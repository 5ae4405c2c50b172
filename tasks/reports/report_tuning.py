"""What a grid of search weights came to: a heat map of the error rate, or of a translator's BLEU, and every point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from infra.artifact_store import Artifact
from tasks.reports.html_page import html_figure, html_section, html_table, put_page
from tasks.reports.plots.svg_figure import DENSITY, INK, to_svg
from tasks.steps.pipeline_step import step

COUNTED = 120  # cells up to which each has its number
NAMES = {"wer": "WER", "cer": "CER", "bleu": "BLEU", "chrf": "chrF"}
SHARES = {"wer", "cer"}  # of 1; what else there is is of 100
Row = dict[str, Any]  # point, wer and cer or bleu and chrf, seconds


@step
def report_tuning(tuning: Artifact, title: str) -> Artifact:
    """`report.html`: a heat map for each pair of terms that were tried, and the table."""
    told = tuning.read_json("tuning.json")
    rows: list[Row] = told["rows"]
    metric, sign = told["metric"], -1 if told["descending"] else 1
    label = NAMES[metric]
    tried = [name for name in rows[0]["point"] if len({row["point"][name] for row in rows}) > 1]
    best = ", ".join(f"{name} {value:g}" for name, value in rows[0]["point"].items())
    score = f"{label} {_written(metric, rows[0][metric])}"
    body = [Markup("<p>Best on {}: <b>{}</b> with {}.</p>").format(told["split"], score, best)]
    pairs = [(a, b) for i, a in enumerate(tried) for b in tried[i + 1 :]] or [(name, "") for name in tried]
    for one, other in pairs:
        heading = f"{label} by {one}" + (f" and {other}" if other else "")
        body += [html_section(heading, html_figure(heat_map(rows, (one, other), metric, sign), heading))]
    measured = [name for name in NAMES if name in rows[0]]
    cells = [
        [*(f"{v:g}" for v in r["point"].values()), *(_written(n, r[n]) for n in measured), f"{r['seconds']:.2f}"]
        for r in rows
    ]
    head = (*rows[0]["point"], *(NAMES[name] for name in measured), "search seconds")
    body += [html_section("Every point", html_table(head, cells))]
    return put_page(title, body, {})


def _written(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric in SHARES else f"{value:.2f}"


def heat_map(rows: Sequence[Row], terms: tuple[str, str], metric: str, sign: int) -> Markup:
    """The best score at each value of one term and of another ("" for none), over all the rest; the best of all framed.
    sign: 1 where less is better, -1 where more is.
    """
    one, other = terms
    points = [(row["point"][one], row["point"].get(other, 0), sign * row[metric]) for row in rows]
    down, across = (sorted({point[i] for point in points}) for i in (0, 1))
    best = np.full((len(down), len(across)), np.inf)
    for a, b, cost in points:
        at = down.index(a), across.index(b)
        best[at] = min(best[at], cost)
    shown = sign * best * (100 if metric in SHARES else 1)
    figure = Figure((2.6 + 0.75 * len(across), 1.6 + 0.45 * len(down)), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shown, cmap=DENSITY, aspect="auto", origin="lower")
    axes.set_xticks(range(len(across)), [f"{b:g}" for b in across] if other else [""])
    axes.set_yticks(range(len(down)), [f"{a:g}" for a in down])
    axes.set(xlabel=other, ylabel=one)
    if shown.size <= COUNTED:
        for (i, j), value in np.ndenumerate(shown):
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=INK, fontsize=9)
    i, j = np.unravel_index(best.argmin(), best.shape)
    axes.add_patch(_frame(float(j), float(i)))
    figure.colorbar(picture, ax=axes, label=NAMES[metric] + (" %" if metric in SHARES else ""))
    return to_svg(figure)


def _frame(x: float, y: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2)
