"""A self-contained HTML page: its style and script, its table of contents, its tables and figures; and its artifact.

HTML is markupsafe's Markup, made of templates that stand in the code: `Markup("<b>{}</b>").format(text)`. All else is
text, and escaped where it goes into a page. A page loads nothing from elsewhere, and runs no script but its own: its
Content-Security-Policy names that one by its digest.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact, new_draft

STYLE, SCRIPT = "page.css", "page.js"  # beside this module
POLICY = "default-src 'none'; img-src data:; media-src 'self' file: data:; style-src 'unsafe-inline'; script-src {}"
SECTION = re.compile(r'<section id="([^"]+)"[^>]*><h2>(.*?)</h2>', re.DOTALL)
PAGE = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy"'
    ' content="{policy}"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
    '<link rel="icon" href="data:,"><style>{style}</style></head><body><a class="skip" href="#main">Skip to the content'
    '</a><header><h1 dir="auto">{title}</h1></header>{contents}<main id="main" tabindex="-1">{body}</main>'
    "<script>{script}</script></body></html>"
)


def put_page(
    title: str, body: Iterable[str], numbers: dict[str, Any], files: Iterable[tuple[str, bytes]] = ()
) -> Artifact:
    """`report.html`, and beside it JSON files and others, by name."""
    with new_draft("report") as out:
        out.put("report.html", html_page(title, body))
        for name, value in numbers.items():
            out.put_json(name, value)
        for name, content in files:
            out.put(name, content)
    return out.result()


def html_page(title: str, body: Iterable[str]) -> bytes:
    """The page under a heading, with a table of the sections in it. Half a surrogate pair, which UTF-8 does not have,
    is shown by its number.
    """
    inner, script = join_html(body), _beside(SCRIPT)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = PAGE.format(
        policy=POLICY.format(f"'sha256-{digest}'"),
        title=title,
        style=_beside(STYLE),
        contents=_contents(inner),
        body=inner,
        script=script,
    )
    return page.encode(errors="backslashreplace")


def _beside(name: str) -> Markup:
    return Markup(Path(__file__).with_name(name).read_text(encoding="utf-8"))  # noqa: S704 - a file of the project


def _contents(body: Markup) -> Markup:
    """A list of links to the sections: `<section id=".."><h2>..</h2>`, of which a text that was escaped is none."""
    links = [(name, Markup(heading)) for name, heading in SECTION.findall(body)]  # noqa: S704 - HTML already
    items = join_html(Markup('<li><a href="#{}" dir="auto">{}</a></li>').format(*link) for link in links)
    return Markup('<nav aria-label="Contents"><ul>{}</ul></nav>').format(items) if len(links) > 1 else Markup("")


def join_html(parts: Iterable[str]) -> Markup:
    return Markup("").join(parts)


def html_section(title: str, *content: str) -> Markup:
    """A part of the page under its heading, which the table of contents names."""
    section = Markup('<section id="{}"><h2>{}</h2>{}</section>')
    return section.format(section_name(title), title, join_html(content))


def section_name(title: str) -> str:
    """What a link to the section says: the letters and digits of its title."""
    return re.sub(r"\W+", "-", title.lower()).strip("-") or "section"


def html_table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> Markup:
    """Names over rows of cells, the first cell of a row text, the others numbers. It can be sorted on the page."""
    first, *others = names
    head = join_html(Markup('<th scope="col" class="number">{}</th>').format(name) for name in others)
    row = Markup('<tr><td dir="auto">{}</td>{}</tr>')
    lines = join_html(row.format(text, join_html(map(_number, rest))) for text, *rest in rows)
    table = Markup('<table class="data"><thead><tr><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody></table>')
    return table.format(first, head, lines)


def _number(cell: str) -> Markup:
    return Markup('<td class="number">{}</td>').format(cell)


def html_cards(cards: Iterable[tuple[str, str, str]]) -> Markup:
    """What to see first: (name, number, what belongs to it)."""
    card = Markup('<div class="card"><dt dir="auto">{}</dt><dd class="big">{}</dd><dd>{}</dd></div>')
    return Markup('<dl class="cards">{}</dl>').format(join_html(card.format(*told) for told in cards))


def as_json(value: Any) -> Markup:
    return Markup("<pre>{}</pre>").format(json.dumps(value, indent=1, ensure_ascii=False))


def html_figure(svg: Markup, meaning: str) -> Markup:
    """A drawing of tasks/reports/plots; meaning: what it shows, for who does not see it."""
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(meaning, svg)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
