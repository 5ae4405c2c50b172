"""A text as a language model reads it: each token on a ground from red (improbable) to white (certain)."""

from collections.abc import Iterable

from markupsafe import Markup

from tasks.reports.html_page import join_html

TEXT = "font:14px/1.7 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere"


def render_tokens(tokens: Iterable[tuple[str, float]]) -> Markup:
    """Tokens with their probabilities, which show on hovering."""
    span = Markup("<span style='background:{}' title='{:.1%}'>{}</span>")
    spans = (span.format(_ground(p), p, _visible(token)) for token, p in tokens)
    return Markup("<div dir=auto style='{}'>{}</div>").format(TEXT, join_html(spans))


def legend() -> Markup:
    mark = Markup("<span style='background:{}'> {:.0%} </span>")
    return Markup("<p>{}</p>").format(join_html(mark.format(_ground(p), p) for p in (0.01, 0.05, 0.2, 0.5, 0.9)))


def _ground(p: float) -> str:
    """White at 1, and redder for each bit of surprise."""
    return f"hsl({30 * p:.0f} 85% {100 - 42 * (1 - p) ** 2:.0f}%)"


def _visible(token: str) -> str:
    return token.replace("\n", "\u21b5\n").replace("\t", "\u21e5\t")
