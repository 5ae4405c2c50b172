"""What a classifier takes for what, drawn."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from tasks.reports.plots.svg_figure import DENSITY, INK, short_label, to_svg

MOST_DRAWN = 40  # labels; of more, those that are missed most often
COUNTED = 20  # labels up to which every cell has its number


def plot_confusion(confusion: Sequence[tuple[str, str, int]]) -> Markup:
    """(reference, label, rows) as a matrix: a row for each reference, colored by the share of it that went there."""
    labels = drawn_labels(confusion)
    at = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), int)
    for reference, label, rows in confusion:
        if reference in at and label in at:
            counts[at[reference], at[label]] = rows
    totals = Counter[str]()
    for reference, _, rows in confusion:
        totals[reference] += rows
    shares = counts / np.maximum([[totals[label]] for label in labels], 1)
    side = min(12.0, 2.2 + 0.42 * len(labels))
    figure = Figure((side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap=DENSITY, vmin=0, vmax=1)
    names = [short_label(label) for label in labels]
    ticks = range(len(labels))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true")
    if len(labels) <= COUNTED:
        for i, j in zip(*counts.nonzero(), strict=True):
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=INK, fontsize=9)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the row")
    return to_svg(figure)


def drawn_labels(confusion: Sequence[tuple[str, str, int]]) -> list[str]:
    """The labels of the picture, sorted."""
    every, missed = {label for pair in confusion for label in pair[:2]}, Counter[str]()
    for reference, label, rows in confusion:
        if reference != label:
            missed[reference] += rows
            missed[label] += rows
    return sorted(sorted(every, key=lambda label: (-missed[label], label))[:MOST_DRAWN])
