"""Pictures as PNG bytes: the learning curve, and an utterance with its posteriors and aligned text."""

import io
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.vocabulary import BLANK

FAINT = 0.02  # a token whose probability never passes this is not drawn
ERROR_RATES = {"WER": "dev_wer", "CER": "dev_cer", "missed": "dev_error"}
COLOURS = mpl.colormaps["tab10"](range(10))


def learning_curve(history: list[dict[str, Any]]) -> bytes:
    """Training and dev loss on the left, the dev error rates there are on the right, by epoch."""
    figure = Figure((9, 3.2), layout="constrained")
    loss, rates = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    measured = {label: name for label, name in ERROR_RATES.items() if history and name in history[0]}
    for axes, lines, label in (
        (loss, {"train": "loss", "dev": "dev_loss"}, "nats"),
        (rates, measured, "dev error rate"),
    ):
        for name, column in lines.items():
            axes.plot(epochs, [row[column] for row in history], label=name, marker="." if len(epochs) < 30 else None)
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    for name in list(measured.values())[:1]:
        best = min(history, key=lambda row: row[name])
        rates.annotate(f"{best[name]:.1%}", (best["epoch"], best[name]), (0, 8), textcoords="offset points")
    return to_png(figure)


def utterance_picture(
    frames: np.ndarray, posteriors: np.ndarray | None, tokens: list[dict[str, Any]], seconds: float
) -> bytes:
    """Frames (T, D) as an image; below it each token's probability over time, and the tokens where they were heard."""
    rows = 2 if posteriors is not None else 1
    figure = Figure((min(14.0, 4 + 1.6 * seconds), 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    axes[0].imshow(frames.T, origin="lower", aspect="auto", extent=(0, seconds, 0, frames.shape[1]), cmap="magma")
    axes[0].set_ylabel("feature")
    if posteriors is not None:
        _draw_posteriors(axes[1], posteriors, tokens, seconds)
    axes[-1].set(xlabel="seconds", xlim=(0, seconds))
    return to_png(figure)


def _draw_posteriors(axes: Axes, posteriors: np.ndarray, tokens: list[dict[str, Any]], seconds: float) -> None:
    times = (np.arange(len(posteriors)) + 0.5) * seconds / len(posteriors)
    axes.fill_between(times, posteriors[:, BLANK], color="0.88", step="mid", label="blank")
    seen = [v for v in np.flatnonzero(posteriors.max(0) > FAINT) if v != BLANK]
    for v in seen:
        axes.plot(times, posteriors[:, v], color=COLOURS[v % len(COLOURS)], linewidth=1)
    for token in tokens:
        middle = (token["begin_seconds"] + token["end_seconds"]) / 2
        axes.axvspan(token["begin_seconds"], token["end_seconds"], color="0.5", alpha=0.12, linewidth=0)
        axes.text(middle, 1.06, token["text"].replace(" ", "\u2423"), ha="center", fontsize=9)
    axes.set(ylabel="probability", ylim=(0, 1.25), yticks=(0, 0.5, 1))


def to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a script that the drawing font lacks shows as boxes; the page's text has it
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()
