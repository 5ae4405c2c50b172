"""The HTML that sections are made of: tables that a page may sort, texts with their errors marked.

A cell of a table is text, Markup, a number, or `percent` of one; numbers carry what they are sorted by as `data-sort`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from tasks.scoring.error_analysis import (
    CORRECT,
    DELETION,
    INSERTION,
    SUBSTITUTION,
    Alignment,
    Edit,
    align_characters,
)

SPACE = "(space)"


class Figure(NamedTuple):
    """A number as it is shown, and what it is sorted by."""

    text: str
    value: float


Cell = str | float | Figure | None


def percent(value: float | None, digits: int = 1) -> Figure | None:
    return None if value is None else Figure(f"{value:.{digits}%}", value)


def section(name: str, heading: str, *parts: Markup) -> Markup:
    """name: its id, and its class up to the first hyphen."""
    whole = Markup('<section id="{}" class="{}"><h2>{}</h2>{}</section>')
    return whole.format(name, name.partition("-")[0], heading, Markup("").join(parts))


def data_table(heads: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str = "") -> Markup:
    """Without rows a line that says so. caption: above the table."""
    rows = [list(row) for row in rows]
    body = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(map(_cell, row))) for row in rows)
    told = Markup("<h3>{}</h3>").format(caption) if caption else Markup()
    if not body:
        return told + Markup("<p>none</p>")
    numbers = [any(isinstance(row[i], int | float | Figure) for row in rows) for i in range(len(heads))]
    plain, number = Markup('<th scope="col">{}</th>'), Markup('<th scope="col" class="number">{}</th>')
    named = zip(heads, numbers, strict=True)
    head = Markup("").join((number if is_number else plain).format(name) for name, is_number in named)
    table = Markup('<table class="data"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>')
    return told + table.format(head, body)


def facts_table(facts: Iterable[tuple[str, str | Markup]]) -> Markup:
    """Name and value, a row each; a value that is empty is left out."""
    row = Markup('<tr><th scope="row">{}</th><td>{}</td></tr>')
    body = Markup("").join(row.format(name, value) for name, value in facts if value)
    return Markup('<table class="data"><tbody>{}</tbody></table>').format(body)


def beside(parts: Iterable[Markup]) -> Markup:
    """Beside each other as far as there is room."""
    columns = Markup("").join(Markup("<div>{}</div>").format(part) for part in parts)
    return Markup('<div class="figures">{}</div>').format(columns)


def first_rows(shown: int, rows: int, file: str) -> Markup:
    """Where a table is cut, where all of it is."""
    if rows <= shown:
        return Markup()
    return Markup("<p>The first {} of {:,}; all are in <code>{}</code>.</p>").format(shown, rows, file)


def _cell(cell: Cell) -> Markup:
    if cell is None:
        return Markup('<td class="number" data-sort="">–</td>')
    if isinstance(cell, int | float):
        cell = Figure(f"{cell:,}" if isinstance(cell, int) else f"{cell:.4g}", cell)
    if isinstance(cell, Figure):
        return Markup('<td class="number" data-sort="{:.10g}">{}</td>').format(cell.value, cell.text)
    return Markup('<td dir="auto">{}</td>').format(cell)


def visible(character: str) -> str:
    """A blank, which a table would not show, by its name."""
    return SPACE if character == " " else character


def marked_texts(alignment: Alignment) -> tuple[Markup, Markup]:
    """The reference with what was deleted or substituted marked, and the hypothesis with what was inserted or
    substituted; in a word that was substituted its own wrong characters as `<b>`.
    """
    words = list(_marked_words(alignment))
    reference, hypothesis = (
        [one[i] for kind, *one in words if kind != left] for i, left in ((0, INSERTION), (1, DELETION))
    )
    return Markup(" ").join(reference), Markup(" ").join(hypothesis)


def heard_text(alignment: Alignment) -> Markup:
    """The hypothesis in one line, with what was deleted in its place."""
    return Markup(" ").join(said if kind == DELETION else heard for kind, said, heard in _marked_words(alignment))


def _marked_words(alignment: Alignment) -> Iterator[tuple[str, Markup, Markup]]:
    """The kind of each edit, and both of its words."""
    letters = iter(align_characters([(e.reference, e.hypothesis) for e in alignment if e.kind == SUBSTITUTION]))
    for edit in alignment:
        inner = next(letters) if edit.kind == SUBSTITUTION else [Edit(CORRECT, edit.reference, edit.hypothesis)]
        said, heard = ([(e.kind, (e.reference, e.hypothesis)[i]) for e in inner] for i in (0, 1))
        yield edit.kind, _marked(edit.kind, said), _marked(edit.kind, heard)


def _marked(kind: str, parts: list[tuple[str, str]]) -> Markup:
    if kind == CORRECT:
        return Markup("{}").format("".join(text for _, text in parts))
    joined, at = Markup(), 0
    while at < len(parts):  # neighbors that are alike are one, as a letter and its accents must not be parted
        end = next(
            (i for i in range(at, len(parts)) if (parts[i][0] == CORRECT) != (parts[at][0] == CORRECT)), len(parts)
        )
        text = "".join(text for _, text in parts[at:end])
        wrong = parts[at][0] != CORRECT and text
        joined, at = joined + (Markup("<b>{}</b>") if wrong else Markup("{}")).format(text), end
    return Markup('<span class="{}">{}</span>').format(kind, joined)
