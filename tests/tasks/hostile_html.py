"""Text that attacks a page, and what a page must be for it to have failed."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

REPORTS = Path(__file__).parents[2] / "tasks/reports"

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "' onmouseover='alert(1)",
    "</style></title></pre></code></table></div><script>alert(1)</script>",
    "<!-- --><![CDATA[ <iframe srcdoc=x> ]]>",
    "<a href=javascript:alert(1)>&lt;script&gt;&#60;</a>",
    "{0.__class__} {style} %s $\\frac$ \\ \u202e",
)
EVIL = "".join(ATTACKS)
TAGS = {"html", "head", "meta", "title", "link", "style", "body", "header", "nav", "main", "section", "article", "div"}
TAGS |= {"h1", "h2", "p", "b", "br", "small", "code", "pre", "span", "a", "ul", "li", "dl", "dt", "dd", "script"}
TAGS |= {"table", "caption", "thead", "tbody", "tr", "th", "td", "audio", "details", "summary", "figure", "noscript"}
TAGS |= {"input", "label", "select", "button", "h3"}
DRAWING = {"svg", "g", "path", "use", "text", "tspan", "defs", "clippath", "rect", "image"}
ATTRIBUTES = {
    "lang",
    "charset",
    "class",
    "dir",
    "title",
    "style",
    "src",
    "href",
    "controls",
    "preload",
    "scope",
    "role",
}
ATTRIBUTES |= {"http-equiv", "content", "name", "rel", "id", "tabindex", "type", "placeholder", "aria-label"}
ATTRIBUTES |= {"data-sort", "open"}
SAID = {"aria-label", "placeholder"}  # attributes that hold what data says


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts, self.others, self.code = set(), [], [], [], {}
        self.inside = ""

    def handle_starttag(self, tag, attrs):
        self.inside = f"{tag} {dict(attrs).get('type', '')}".strip()
        if tag in DRAWING:
            assert not [name for name, _ in attrs if name.startswith("on")]
            assert all(v.startswith(("#", "data:image/png;base64,")) for n, v in attrs if n.endswith("href"))
        else:
            self.tags.add(tag)
            self.attributes += attrs

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside.startswith(("script", "style")):
            self.code.setdefault(self.inside, []).append(data)
        else:
            self.texts.append(data)

    def handle_comment(self, data):
        self.others.append(data)

    handle_pi = unknown_decl = handle_comment


def shown(page):
    """The text of a page. Fails where anything but the pages' own elements and attributes is in it."""
    parser = _Page()
    parser.feed(page)
    parser.close()
    assert parser.tags <= TAGS
    assert len(parser.code["script"]) == len(parser.code["style"]) == 1
    assert (REPORTS / "page.js").read_text() == parser.code["script"][0]
    assert (REPORTS / "page.css").read_text() == parser.code["style"][0]
    assert parser.others == []
    for name, value in parser.attributes:
        assert name in ATTRIBUTES
        if name == "src":
            assert value.startswith("data:audio/mpeg;base64,")
            assert value.partition(",")[2].replace("=", "").replace("+", "").replace("/", "").isalnum()
        elif name == "style":
            assert not set(value) & set("<>\"'{}&\\")
        elif name == "href":
            assert re.fullmatch(r"#[\w-]+|data:,", value)
        elif name == "content":
            assert value == "width=device-width, initial-scale=1" or value.startswith("default-src 'none'; ")
        elif name not in SAID:
            assert value is None or not set(value) & set("<>\"'{}&\\")
    return "".join(parser.texts)


def embedded(page):
    """The JSON in a page."""
    parser = _Page()
    parser.feed(page)
    return [json.loads(text) for text in parser.code.get("script application/json", [])]


def poison(value):
    """The same JSON with an attack for each text, keys as well."""
    if isinstance(value, dict):
        return {EVIL + name: poison(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [poison(inner) for inner in value]
    return EVIL if isinstance(value, str) else value


def count(page, text=EVIL):
    """How often a page shows a text as it is."""
    return shown(page).count(text)
