"""A text as a language model reads it: each token on a ground from red (improbable) to none (certain)."""

from collections.abc import Iterable

from markupsafe import Markup

from tasks.reports.html_page import join_html


def render_tokens(tokens: Iterable[tuple[str, float]]) -> Markup:
    """Tokens with their probabilities, which show on hovering."""
    span = Markup('<span style="--surprise:{:.2f}" title="{:.1%}">{}</span>')
    spans = (span.format(_surprise(p), p, _visible(token)) for token, p in tokens)
    return Markup('<div dir="auto" class="tokens sample">{}</div>').format(join_html(spans))


def legend() -> Markup:
    mark = Markup('<span style="--surprise:{:.2f}"> {:.0%} </span>')
    marks = join_html(mark.format(_surprise(p), p) for p in (0.01, 0.05, 0.2, 0.5, 0.9))
    return Markup('<p class="tokens">probability: {}</p>').format(marks)


def _surprise(p: float) -> float:
    """0 at a probability of 1, and more for each bit of surprise."""
    return (1 - p) ** 2


def _visible(token: str) -> str:
    return token.replace("\n", "\u21b5\n").replace("\t", "\u21e5\t")
