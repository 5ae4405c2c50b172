"""What a grid of search weights came to: a heat map of the error rate, and every point."""

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
Row = dict[str, Any]  # point, wer, cer, seconds


@step
def report_tuning(tuning: Artifact, title: str) -> Artifact:
    """`report.html`: a heat map for each pair of terms that were tried, and the table."""
    told = tuning.read_json("tuning.json")
    rows: list[Row] = told["rows"]
    tried = [name for name in rows[0]["point"] if len({row["point"][name] for row in rows}) > 1]
    best = ", ".join(f"{name} {value:g}" for name, value in rows[0]["point"].items())
    body = [Markup("<p>Best on {}: <b>WER {:.2%}</b> with {}.</p>").format(told["split"], rows[0]["wer"], best)]
    pairs = [(a, b) for i, a in enumerate(tried) for b in tried[i + 1 :]] or [(name, "") for name in tried]
    for one, other in pairs:
        heading = f"WER by {one}" + (f" and {other}" if other else "")
        body += [html_section(heading, html_figure(heat_map(rows, one, other), heading))]
    cells = [
        [*(f"{v:g}" for v in r["point"].values()), f"{r['wer']:.2%}", f"{r['cer']:.2%}", f"{r['seconds']:.2f}"]
        for r in rows
    ]
    body += [html_section("Every point", html_table((*rows[0]["point"], "WER", "CER", "search seconds"), cells))]
    return put_page(title, body, {})


def heat_map(rows: Sequence[Row], one: str, other: str) -> Markup:
    """The lowest WER at each value of `one` and of `other` ("" for none), over all the other terms; the best framed."""
    points = [(row["point"][one], row["point"].get(other, 0), row["wer"]) for row in rows]
    down, across = (sorted({point[i] for point in points}) for i in (0, 1))
    lowest = np.full((len(down), len(across)), np.inf)
    for a, b, wer in points:
        at = down.index(a), across.index(b)
        lowest[at] = min(lowest[at], wer)
    figure = Figure((2.6 + 0.75 * len(across), 1.6 + 0.45 * len(down)), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(100 * lowest, cmap=DENSITY, aspect="auto", origin="lower")
    axes.set_xticks(range(len(across)), [f"{b:g}" for b in across] if other else [""])
    axes.set_yticks(range(len(down)), [f"{a:g}" for a in down])
    axes.set(xlabel=other, ylabel=one)
    if lowest.size <= COUNTED:
        for (i, j), wer in np.ndenumerate(lowest):
            axes.text(j, i, f"{100 * wer:.1f}", ha="center", va="center", color=INK, fontsize=9)
    i, j = np.unravel_index(lowest.argmin(), lowest.shape)
    axes.add_patch(_frame(float(j), float(i)))
    figure.colorbar(picture, ax=axes, label="WER %")
    return to_svg(figure)


def _frame(x: float, y: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="red", linewidth=2)
