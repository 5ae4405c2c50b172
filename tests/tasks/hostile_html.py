"""Text that attacks a page, and what a page must be for it to have failed."""

from html.parser import HTMLParser

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
TAGS = {"html", "meta", "title", "style", "body", "h1", "h2", "p", "b", "br", "small", "code", "pre", "section", "div"}
TAGS |= {"span", "table", "tr", "th", "td", "img", "audio", "details", "summary", "ul", "li"}
ATTRIBUTES = {"lang", "charset", "class", "dir", "title", "style", "src", "alt", "controls", "preload"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts, self.others = set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data):
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
    assert parser.others == []
    for name, value in parser.attributes:
        assert name in ATTRIBUTES
        if name == "src":
            assert value.startswith(("data:image/png;base64,", "data:audio/"))
            assert value.partition(",")[2].replace("=", "").replace("+", "").replace("/", "").isalnum()
        elif name == "style":
            assert not set(value) & set("<>\"'{}&\\")
        elif name != "alt":
            assert value is None or not set(value) & set("<>\"'{}&\\")
    return "".join(parser.texts)


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
