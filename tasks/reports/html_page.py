"""A self-contained HTML page: its style, its head, its tables and pictures; and the artifact that it is.

HTML is markupsafe's Markup, made of templates that stand in the code: `Markup("<b>{}</b>").format(text)`. All else is
text, and escaped where it goes into a page.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact, new_draft

STYLE = Markup("""
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2430}
h1{font-size:1.6rem}h2{margin-top:2.2rem;border-bottom:1px solid #d8dee6;padding-bottom:.2rem;font-size:1.2rem}
table{border-collapse:collapse;margin:.6rem 0}th,td{padding:.25rem .8rem .25rem 0;text-align:left;vertical-align:top}
th{color:#5b6776;font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
.big{font-size:1.35rem;font-weight:650}img{max-width:100%}audio{width:100%;margin:.2rem 0}
ins{background:#ffe2c2;text-decoration:none}del{background:#ffd0d0}section{margin:1.4rem 0}code{color:#43506a}
""")


def put_page(title: str, body: Iterable[str], numbers: dict[str, Any]) -> Artifact:
    """`report.html`, and JSON files beside it, by name."""
    with new_draft("report") as out:
        out.put("report.html", html_page(title, body))
        for name, value in numbers.items():
            out.put_json(name, value)
    return out.result()


def html_page(title: str, body: Iterable[str]) -> bytes:
    """The page under a heading. Half a surrogate pair, which UTF-8 does not have, is shown by its number."""
    page = Markup(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{style}</style>"
        "<body><h1>{title}</h1>{body}</body></html>"
    )
    return page.format(title=title, style=STYLE, body=join_html(body)).encode(errors="backslashreplace")


def join_html(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)


def html_heading(text: str) -> Markup:
    return Markup("<h2>{}</h2>").format(text)


def html_table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    """Names over rows of cells, the first cell of a row text, the others numbers."""
    head = join_html(Markup("<th>{}").format(name) for name in names)
    cells = ((first, join_html(Markup("<td class=n>{}").format(cell) for cell in rest)) for first, *rest in rows)
    lines = join_html(Markup("<tr><td>{}{}").format(first, rest) for first, rest in cells)
    return Markup("<table><tr>{}</tr>{}</table>").format(head, lines)


def as_json(value: Any) -> Markup:
    return Markup("<pre>{}</pre>").format(json.dumps(value, indent=1, ensure_ascii=False))


def html_image(png: bytes, meaning: str) -> Markup:
    return Markup("<img alt='{}' src='data:image/png;base64,{}'>").format(meaning, to_base64(png))


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
