"""The learning curve: loss and what dev is measured by, epoch after epoch."""

from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tasks.reports.html_page import html_figure
from tasks.reports.plots.svg_figure import to_svg

ERROR_RATES = {"WER": "dev_wer", "CER": "dev_cer", "missed": "dev_error"}
BLEU = "dev_bleu"  # in [0, 100], and more is better
Row = dict[str, Any]


def plot_learning_curves(history: list[Row], unit: str, measured: str) -> Markup:
    """Figures of a page: training and dev loss, and the dev error rates or BLEU that the history has.

    unit: of the losses, "nats a token". measured: what the error rates are, for who does not see them. Without a
    history, as ensembles are, a line that says so.
    """
    if not history:
        return Markup('<p class="note">There is none: it was put together of models that have one each.</p>')
    rates = {label: name for label, name in ERROR_RATES.items() if name in history[0]}
    loss = html_figure(_draw(history, {"train": "loss", "dev": "dev_loss"}, f"loss, {unit}"), "loss by epoch")
    right = [html_figure(_draw(history, rates, "dev error rate"), f"{measured}, by epoch")] if rates else []
    if BLEU in history[0]:
        right.append(html_figure(_draw(history, {"BLEU": BLEU}, "dev BLEU"), f"{measured}, by epoch"))
    return Markup('<div class="figures">{}{}</div>').format(loss, Markup("").join(right))


def _draw(history: list[Row], lines: dict[str, str], label: str) -> Markup:
    figure = Figure((4.8, 3.2), layout="constrained")
    axes, epochs = figure.subplots(), [row["epoch"] for row in history]
    for name, column in lines.items():
        axes.plot(epochs, [row[column] for row in history], label=name, marker="." if len(epochs) < 30 else None)
    axes.set(xlabel="epoch", ylabel=label)
    axes.set_ylim(0, 1.1 * axes.get_ylim()[1])  # room for the best value above a curve that does not fall
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid()
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(lines), borderaxespad=0)
    if not label.startswith("loss"):
        (name, *_), more = lines.values(), BLEU in lines.values()
        if not more:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        best = (max if more else min)(history, key=lambda row: row[name])
        told, place = f"{best[name]:.1f}" if more else f"{best[name]:.1%}", (best["epoch"], best[name])
        side = "left" if 2 * epochs.index(best["epoch"]) < len(epochs) - 1 else "right"
        axes.annotate(told, place, (0, 8), textcoords="offset points", ha=side)
    return to_svg(figure)
