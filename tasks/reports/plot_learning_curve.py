"""Pictures as PNG bytes: the learning curve, and what all pictures share."""

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

ERROR_RATES = {"WER": "dev_wer", "CER": "dev_cer", "missed": "dev_error"}
mpl.rcParams["text.parse_math"] = False  # a label with a $ in it is no formula
COLORS = mpl.colormaps["tab10"](range(10))


def plot_learning_curve(history: list[dict[str, Any]]) -> bytes:
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
        axes.legend(frameon=False, loc="upper right")  # where curves that fall leave room
    for name in list(measured.values())[:1]:
        best = min(history, key=lambda row: row[name])
        rates.annotate(f"{best[name]:.1%}", (best["epoch"], best[name]), (0, 8), textcoords="offset points")
    return to_png(figure)


def short_label(text: str, most: int = 24) -> str:
    """A name of data, as long as a picture has room for."""
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # a script that the drawing font lacks shows as boxes; the page's text has it
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=80, metadata={"Software": None})
    return buffer.getvalue()
