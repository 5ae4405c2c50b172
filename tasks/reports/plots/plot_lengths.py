"""How long the utterances of each split are, drawn."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.reports.plots.svg_figure import COLORS, to_svg


def plot_lengths(histograms: Mapping[str, dict[str, Any]], unit: str) -> Markup:
    """A panel for each split, by name: `counts` and `edges` of `histogram` (tasks/ingest/describe_corpus.py)."""
    figure = Figure((4.6, 0.5 + 1.2 * len(histograms)), layout="constrained")
    panels = figure.subplots(len(histograms), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (split, told) in zip(panels, histograms.items(), strict=True):
        panel.stairs(told["counts"], told["edges"], fill=True, color=COLORS[0], alpha=0.7)
        panel.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        panel.grid(axis="y")
        panel.set(ylabel=split, ylim=(0, None), xlim=(0, None))
    panels[-1].set(xlabel=f"{unit} of an utterance")
    figure.supylabel("utterances", fontsize=10)
    return to_svg(figure)
