"""Confidence against what is right, drawn."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from tasks.reports.plots.svg_figure import COLORS, MUTED, to_svg


def plot_reliability(bins: Sequence[dict[str, Any]]) -> Markup:
    """What is right at each confidence beside the diagonal, and how many utterances: bins of `calibration`."""
    figure = Figure((4.6, 4.6), layout="constrained")
    right, many = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = bins[0]["to"] - bins[0]["from"]
    middles = [(row["from"] + row["to"]) / 2 for row in bins]
    shares, sure = [row["right"] for row in bins], [row["confidence"] for row in bins]
    right.plot((0, 1), (0, 1), color=MUTED, linestyle="--", linewidth=1, label="as it should be")
    right.bar(middles, shares, width * 0.94, color=COLORS[0], alpha=0.35, label="mean of the bin")
    right.plot(sure, shares, color=COLORS[0], marker="o", markersize=4, label="at its mean confidence")
    right.grid(axis="y")
    right.set(ylabel="share of words right", xlim=(0, 1), ylim=(0, 1.02))
    right.legend(frameon=False, fontsize=8, loc="upper left")
    counts = [row["utterances"] for row in bins]
    many.bar(middles, counts, width * 0.94, color=MUTED, alpha=0.5)
    for middle, count in zip(middles, counts, strict=True):
        many.text(middle, count, str(count), ha="center", va="bottom", fontsize=7)
    many.set(xlabel="confidence", ylabel="utterances", ylim=(0, 1.25 * max(counts)))
    return to_svg(figure)
