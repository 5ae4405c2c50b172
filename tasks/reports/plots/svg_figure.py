"""A matplotlib figure as SVG inside a page, whose colors of text, axes and grid are the page's own, light or dark."""

import base64
import hashlib
import io
import re
import warnings
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

# Colors that stand in a drawing for what the page's style decides: they are no others' and hardly seen apart.
INK, MUTED, LINE = "#010203", "#010204", "#010205"
VARIABLES = {INK: "currentColor", MUTED: "var(--muted)", LINE: "var(--line)"}
COLORS = mpl.colormaps["tab10"](range(10))
# From nothing, which shows the page's ground, to a blue that light and dark text both stand out from.
DENSITY = LinearSegmentedColormap.from_list("density", [(0.2, 0.45, 0.8, 0), (0.2, 0.45, 0.8, 1)])
STYLE: Any = {
    "text.parse_math": False,  # a label with a $ in it is no formula
    "svg.fonttype": "none",  # text as text: the browser has a font for every script
    "svg.hashsalt": "report",
    "font.sans-serif": ["DejaVu Sans"],
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK),
    "axes.edgecolor": MUTED,
    "grid.color": LINE,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
mpl.rcParams.update(STYLE)

NARROW = 460.0  # points: a wider drawing is not made smaller than can be read
PIXELS_AN_INCH = 80  # of what is no line: spectrograms, attention
TAG = re.compile(r"<[^>]*>")  # matplotlib escapes < and > in text and in attributes
NAME = re.compile(r'( id="|url\(#|href="#)')
PICTURE = re.compile(r'data:image/png;base64,([^"]*)')


def to_svg(figure: Figure) -> Markup:
    """The drawing as an element of a page. What it names inside itself is named by no other drawing of the page."""
    text = io.StringIO()
    with warnings.catch_warnings():  # the font that measures the text lacks a script; the browser's does not
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure.savefig(text, format="svg", dpi=PIXELS_AN_INCH, metadata={"Date": None})
    drawn = text.getvalue()
    prefix = f"f{hashlib.sha256(drawn.encode(errors='backslashreplace')).hexdigest()[:8]}-"
    content = drawn[drawn.index("<g ") : drawn.rindex("</svg>")]  # without its metadata and its style of all elements
    width, height = (72 * inches for inches in figure.get_size_inches())
    svg = Markup('<svg class="{}" viewBox="0 0 {:g} {:g}" width="{:g}" aria-hidden="true">{}</svg>')
    kind = "wide" if width > NARROW else "small"
    inner = TAG.sub(lambda tag: _page_tag(tag[0], prefix), content)
    return svg.format(kind, width, height, width * 4 / 3, Markup(inner))  # noqa: S704 - matplotlib escapes what it draws


def short_label(text: str, most: int = 24) -> str:
    """A name of data, as long as a picture has room for."""
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _page_tag(tag: str, prefix: str) -> str:
    """A tag of matplotlib's with the page's colors, names of its own, and pictures of 256 colors."""
    if tag.startswith("<g id="):  # which nothing refers to
        return "<g>"
    for color, variable in VARIABLES.items():
        tag = tag.replace(color, variable)
    return PICTURE.sub(lambda found: _small_picture(found[1]), NAME.sub(rf"\g<1>{prefix}", tag))


def _small_picture(data: str) -> str:
    found, small = io.BytesIO(base64.b64decode(re.sub(r"\s", "", data))), io.BytesIO()
    with Image.open(found) as picture:
        picture.quantize(method=Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
