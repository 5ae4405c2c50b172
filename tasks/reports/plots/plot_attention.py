"""Where a translation looked: the words that it wrote, one below the other, over those that it read."""

import numpy as np
from markupsafe import Markup
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from tasks.reports.plots.svg_figure import DENSITY, short_label, to_svg

WORD = 0.27  # inches
WIDEST, HIGHEST = 13.0, 13.0
MOST_LETTERS = 18


def plot_attention(attention: np.ndarray, words: list[str], source_words: list[str]) -> Markup:
    """attention: (words, source words), a row the attention that a word paid."""
    named = [[short_label(word, MOST_LETTERS) for word in side] for side in (words, source_words)]
    room = 0.085 * np.array([max(map(len, side)) for side in named])  # inches that the names take
    width = min(WIDEST, 0.3 + room[0] + WORD * len(source_words))
    height = min(HIGHEST, 0.3 + room[1] + WORD * len(words))
    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    axes.imshow(attention, cmap=DENSITY, norm=PowerNorm(0.5, vmin=0, vmax=1), aspect="auto")
    axes.set_xticks(range(len(source_words)), named[1], rotation=90, fontsize=9)
    axes.set_yticks(range(len(words)), named[0], fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=2)
    return to_svg(figure)
