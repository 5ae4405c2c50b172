"""An utterance drawn: its features, and below them, over the same time, what its model shows of its hearing."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from models.special_tokens import BLANK, SPECIALS
from tasks.reports.plots.svg_figure import COLORS, DENSITY, MUTED, PIXELS_AN_INCH, to_svg

FAINT = 0.02  # a token whose probability never passes this is not drawn
FAINTEST = -6  # of a lattice, as a power of ten
PANEL, A_ROW, HIGHEST = 1.9, 0.16, 6.0  # inches
A_LABEL = 0.11  # inches that it takes at least
WIDEST = 14.0
MOST_FRAMES = int(WIDEST * PIXELS_AN_INCH)


@dataclass(frozen=True)
class LatticePanel:
    """occupancy: (T', U + 1), the probability that an alignment passes a cell. path: cells (t, u), the best one's."""

    occupancy: np.ndarray
    path: list[tuple[int, int]]


@dataclass(frozen=True)
class UtterancePanels:
    """frames: (T, D). tokens: of the best hypothesis, `text`, `begin_seconds` and `end_seconds` each. posteriors:
    (T', V) probabilities. attention: (U + 1, T'), the last row that of the end. None is what a model does not have.
    scale: what D is, "Hz", and its ticks: (place in 0 to D, name).
    """

    frames: np.ndarray
    seconds: float
    step_seconds: float
    tokens: list[dict[str, Any]]
    posteriors: np.ndarray | None = None
    attention: np.ndarray | None = None
    lattice: LatticePanel | None = None
    scale: tuple[str, tuple[tuple[float, str], ...]] = ("coefficient", ())


def plot_utterance(look: UtterancePanels) -> Markup:
    tall = min(HIGHEST, 0.9 + A_ROW * (len(look.tokens) + 1))
    panels: list[tuple[float, Callable[[Axes, UtterancePanels], None]]] = [(PANEL, _draw_frames)]
    panels += [(PANEL, _draw_posteriors)] if look.posteriors is not None else []
    panels += [(tall, _draw_attention)] if look.attention is not None else []
    panels += [(tall, _draw_lattice)] if look.lattice else []
    heights = [height for height, _ in panels]
    figure = Figure((min(WIDEST, 4 + 1.6 * look.seconds), sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for place, (_, draw) in zip(axes, panels, strict=True):
        draw(place, look)
    axes[-1].set(xlabel="time, s", xlim=(0, look.seconds))
    return to_svg(figure)


def _draw_frames(axes: Axes, look: UtterancePanels) -> None:
    extent = (0, look.seconds, 0, look.frames.shape[1])
    drawn = "none" if len(look.frames) <= MOST_FRAMES else "auto"  # as it is, smoothed by the browser, or made smaller
    axes.imshow(look.frames.T, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation=drawn)
    unit, ticks = look.scale
    axes.set_ylabel(unit)
    if ticks:
        axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])


def _draw_posteriors(axes: Axes, look: UtterancePanels) -> None:
    assert look.posteriors is not None
    times = (np.arange(len(look.posteriors)) + 0.5) * look.step_seconds
    axes.fill_between(times, look.posteriors[:, BLANK], color=MUTED, alpha=0.25, linewidth=0, step="mid")
    seen = [v for v in np.flatnonzero(look.posteriors.max(0) > FAINT) if v != BLANK]
    for v in seen:
        # As a picture: a line of each of many tokens over every step would be most of the page.
        axes.plot(times, look.posteriors[:, v], color=COLORS[v % len(COLORS)], linewidth=1, rasterized=True)
    for (begin, end), tokens in groupby(look.tokens, lambda token: (token["begin_seconds"], token["end_seconds"])):
        axes.axvspan(begin, end, color=MUTED, alpha=0.12, linewidth=0)
        axes.text(
            (begin + end) / 2, 1.06, join_tokens([*map(visible_token, tokens)]), ha="center", fontsize=9, clip_on=True
        )
    axes.set(ylabel="probability", ylim=(0, 1.25), yticks=(0, 0.5, 1))


def _draw_attention(axes: Axes, look: UtterancePanels) -> None:
    """The first token at the bottom."""
    assert look.attention is not None
    rows, steps = look.attention.shape
    extent = (0, steps * look.step_seconds, -0.5, rows - 0.5)
    scale = PowerNorm(0.5, vmin=0, vmax=1)  # what is spread over many steps is seen too
    axes.imshow(look.attention, origin="lower", aspect="auto", extent=extent, cmap=DENSITY, norm=scale)
    _name_rows(axes, [*map(visible_token, look.tokens), "</s>"])
    axes.set_ylabel("token attending")


def _draw_lattice(axes: Axes, look: UtterancePanels) -> None:
    """Row u is after u tokens; a dot is where the best path says the next."""
    assert look.lattice is not None
    steps, rows = look.lattice.occupancy.shape
    powers = np.log10(np.maximum(look.lattice.occupancy.T, 10.0**FAINTEST))
    extent = (0, steps * look.step_seconds, -0.5, rows - 0.5)
    axes.imshow(powers, origin="lower", aspect="auto", extent=extent, cmap=DENSITY, vmin=FAINTEST, vmax=0)
    t, u = np.array(look.lattice.path).T
    times, said = (t + 0.5) * look.step_seconds, np.flatnonzero(np.diff(u)) + 1
    axes.plot(times, u, color=COLORS[3], linewidth=1.2)
    axes.plot(times[said], u[said], color=COLORS[3], marker=".", markersize=5, linestyle="none")
    _name_rows(axes, ["<s>", *map(visible_token, look.tokens)])
    axes.set_ylabel("tokens emitted")


def _name_rows(axes: Axes, names: list[str]) -> None:
    """As many rows together as it takes to write their names."""
    room = min(HIGHEST, 0.9 + A_ROW * len(names)) - 0.6
    together = max(1, int(np.ceil(len(names) * A_LABEL / room)))
    groups = [names[i : i + together] for i in range(0, len(names), together)]
    middles = [i * together + (len(group) - 1) / 2 for i, group in enumerate(groups)]
    axes.set_yticks(middles, [*map(join_tokens, groups)], fontsize=7)
    axes.tick_params(axis="y", length=2)


def join_tokens(names: list[str]) -> str:
    """Characters as they are, longer tokens with a space between."""
    return ("" if all(len(name) <= 1 or name in SPECIALS for name in names) else " ").join(names)


def visible_token(token: dict[str, Any]) -> str:
    return token["text"].replace(" ", "\u2423")
