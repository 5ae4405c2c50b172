"""A text as a language model reads it: each token on a ground from red (improbable) to white (certain)."""

import html
from collections.abc import Iterable

TEXT = "font:14px/1.7 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere"


def render_tokens(tokens: Iterable[tuple[str, float]]) -> str:
    """Tokens with their probabilities, which show on hovering."""
    spans = (f"<span style='background:{_ground(p)}' title='{p:.1%}'>{_visible(token)}</span>" for token, p in tokens)
    return f"<div dir=auto style='{TEXT}'>{''.join(spans)}</div>"


def legend() -> str:
    marks = "".join(f"<span style='background:{_ground(p)}'> {p:.0%} </span>" for p in (0.01, 0.05, 0.2, 0.5, 0.9))
    return f"<p>{marks}</p>"


def _ground(p: float) -> str:
    """White at 1, and redder for each bit of surprise."""
    return f"hsl({30 * p:.0f} 85% {100 - 42 * (1 - p) ** 2:.0f}%)"


def _visible(token: str) -> str:
    return html.escape(token).replace("\n", "\u21b5\n").replace("\t", "\u21e5\t")
