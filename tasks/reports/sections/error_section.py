"""A recognizer's errors on a page: what was taken for what, missed, put in, and what training never met."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from tasks.reports.sections.section_html import beside, data_table, first_rows, percent, section, visible

SHOWN = 25  # rows of each table
FILES = {  # the tables that stand beside the page whole
    "confusions": ("reference", "hypothesis", "count"),
    "character_confusions": ("reference", "hypothesis", "count"),
    "missed": ("word", "missed", "deleted", "substituted", "occurrences"),
    "inserted": ("word", "count"),
    "out_of_vocabulary": ("word", "occurrences", "missed", "hypothesis"),
}


def error_section(split: str, errors: dict[str, Any]) -> Markup:
    """errors: of `analyze_errors` (tasks/scoring/error_analysis.py)."""
    letters = [
        row | {name: visible(row[name]) for name in ("reference", "hypothesis")}
        for row in errors["character_confusions"]
    ]
    heads = ("spoken", "heard", "times")
    tables = (
        _table(split, "confusions", "Taken for another word", heads, errors["confusions"]),
        _table(
            split, "missed", "Missed words", ("word", "missed", "deleted", "substituted", "spoken"), errors["missed"]
        ),
        _table(split, "inserted", "Words that nobody said", ("word", "times"), errors["inserted"]),
        _table(split, "character_confusions", "Taken for another character", heads, letters),
    )
    coverage = _unknown(split, errors["out_of_vocabulary"])
    return section(f"errors-{split}", f"{split}: errors", _rates(errors), beside(tables), coverage)


def error_files(split: str, errors: dict[str, Any]) -> dict[str, bytes]:
    """The whole tables as CSV, by file name."""
    unknown = errors["out_of_vocabulary"]
    rows = errors | {"out_of_vocabulary": unknown["list"] if unknown else []}
    return {file_name(split, name): _csv(columns, rows[name]) for name, columns in FILES.items()}


def file_name(split: str, table: str) -> str:
    return f"errors/{split}_{table}.csv"


def _rates(errors: dict[str, Any]) -> Markup:
    names = ("substitutions", "deletions", "insertions")
    rows = []
    for unit in ("words", "characters"):
        counts = errors[unit]
        said = counts["reference"]
        cells = [cell for n in names for cell in (counts[n], percent(counts[n] / said if said else None, 2))]
        rows.append([unit, said, *cells])
    heads = ("of", "in the references", *(head for name in names for head in (name, "rate")))
    return data_table(heads, rows)


def _unknown(split: str, told: dict[str, Any] | None) -> Markup:
    heading = Markup("<h3>Words that training never met (out of vocabulary)</h3>")
    if told is None:
        return heading + Markup("<p>not known: the training transcripts are not in this store</p>")
    rows = []
    for name, group in (("out of vocabulary", told["unknown"]), ("met in training", told["known"])):
        rows.append([name, group["words"], group["types"], group["missed"], percent(group["rate"], 2)])
    rate = Markup("<p>{:.2%} of the words spoken are not among the {:,} of training.</p>")
    note = Markup("<p>Missed: deleted or substituted; an insertion belongs to no word that was spoken.</p>")
    every = rate.format(told["rate"], told["vocabulary"])
    both = data_table(("words", "spoken", "different", "missed", "rate"), rows)
    heads = ("word", "spoken", "missed", "heard most often")
    words = _table(split, "out_of_vocabulary", "", heads, told["list"]) if told["list"] else Markup()
    return heading + every + both + note + words


def _table(split: str, name: str, caption: str, heads: Sequence[str], rows: list[dict[str, Any]]) -> Markup:
    cells = [[row[column] for column in FILES[name]] for row in rows[:SHOWN]]
    return data_table(heads, cells, caption) + first_rows(SHOWN, len(rows), file_name(split, name))


def _csv(columns: Sequence[str], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerows([columns, *([row[column] for column in columns] for row in rows)])
    return text.getvalue().encode(errors="backslashreplace")
