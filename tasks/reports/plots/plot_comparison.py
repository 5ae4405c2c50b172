"""Learning curves of many trainings drawn: over each other the best in color, and each before all others."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.reports.plots.svg_figure import COLORS, LINE, MUTED, short_label, to_svg

PANELS_A_ROW = 6


@dataclass(frozen=True)
class Curve:
    """One recipe's curves. runs: of each seed the updates and the metric after each epoch."""

    name: str
    runs: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]

    @property
    def best(self) -> float:
        """The mean over the seeds of each one's smallest value."""
        return float(np.mean([min(values) for _, values in self.runs]))


def plot_overlay(curves: Sequence[Curve], label: str) -> Markup:
    """The curves, best first, over each other: the first ten in color, the others gray and without a name."""
    figure = Figure((10, 4.6), layout="constrained")
    axes, colored = figure.subplots(), len(COLORS)
    for curve in curves[colored:]:
        _draw(axes, curve, MUTED, 0.6)
    for color, curve in reversed(list(zip(COLORS, curves, strict=False))):
        _draw(axes, curve, color, 1.6)
    _scale(axes, curves)
    axes.grid()
    axes.set(xlabel="updates", ylabel=label)
    handles = [axes.plot([], [], color=color)[0] for color, _ in zip(COLORS, curves, strict=False)]
    names = [f"{curve.best:.4f}  {short_label(curve.name, 48)}" for curve in curves[:colored]]
    if len(curves) > colored:
        handles, names = [*handles, axes.plot([], [], color=MUTED)[0]], [*names, f"{len(curves) - colored} others"]
    axes.legend(handles, names, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return to_svg(figure)


def plot_panels(curves: Sequence[Curve], label: str) -> Markup:
    """A panel for each recipe, best first: its curve before the gray ones of all."""
    columns = min(len(curves), PANELS_A_ROW)
    rows = -(-len(curves) // columns)
    figure = Figure((2.1 * max(2, columns), 1.7 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    shared = os.path.commonprefix([curve.name for curve in curves]).rpartition("_")[0] if columns > 1 else ""
    for axes in panels[len(curves) :]:
        axes.axis("off")
    for i, (axes, curve) in enumerate(zip(panels, curves, strict=False)):
        for other in curves:
            _draw(axes, other, LINE, 0.6)
        _draw(axes, curve, COLORS[0], 1.8)
        name = short_label(curve.name.removeprefix(shared).lstrip("_") or curve.name, 32)
        axes.set_title(f"{name}\n{curve.best:.4f}", fontsize=9)
        axes.tick_params(labelsize=7, labelbottom=i + columns >= len(curves))
        axes.grid()
    _scale(panels[0], curves)
    for axes, curve in zip(panels, curves, strict=False):
        if curve.best > panels[0].get_ylim()[1]:
            axes.text(0.5, 0.5, "above this scale", transform=axes.transAxes, ha="center", fontsize=8)
    figure.supxlabel("updates", fontsize=9)
    figure.supylabel(label, fontsize=9)
    return to_svg(figure)


def _draw(axes: Axes, curve: Curve, color: str | np.ndarray, width: float) -> None:
    for steps, values in curve.runs:
        axes.plot(steps, values, color=color, linewidth=width, marker="." if len(steps) < 3 else None)


def _scale(axes: Axes, curves: Sequence[Curve]) -> None:
    """Whole updates, and values from the lowest to where half of the runs begin: one that learns nothing does not
    flatten the others.
    """
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    runs = [values for curve in curves for _, values in curve.runs]
    known = np.array([value for values in runs for value in values if np.isfinite(value)])
    begun = np.array([values[0] for values in runs if np.isfinite(values[0])])
    if len(begun) and known.min() < np.median(begun):
        low, high = known.min(), np.median(begun)
        axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
