"""A challenger beside the champion: the decision, the slices it rests on, and what became better and worse to hear."""

from typing import Any

from markupsafe import Markup

from tasks.reports.html_page import html_cards, to_base64
from tasks.reports.sections.section_html import Cell, Figure, data_table, first_rows, heard_text, percent, section
from tasks.reports.utterance_table import SplitSounds
from tasks.scoring.error_analysis import align_words

SHOWN = 100  # utterances of each table
LONGEST_GROUP = 24  # characters: a speaker's name may be a digest of 128
SLICES = ("slice", "group", "utterances", "challenger", "champion", "difference", "interval", "drawn by", "verdict")
UTTERANCES = ("errors before", "errors now", "spoken", "heard before", "heard now", "sound", "utterance")

Row = dict[str, Any]


def decision_section(decision: Row) -> Markup:
    """decision: of tasks/publishing/report_promotion.py."""
    found, metric = decision["overall"], decision["metric"].upper()
    cards = html_cards(
        [
            (f"{metric}, challenger", f"{found['rate']:.2%}", decision["challenger"]),
            (f"{metric}, champion", f"{found['other_rate']:.2%}", decision["champion"]),
            ("difference", _points(found["difference"]), f"{_interval(found)} with 95 %"),
        ]
    )
    told = Markup("<p><b>{}</b>: {}</p>").format(
        "Promoted" if decision["promoted"] else "Not promoted", decision["reason"]
    )
    how = Markup(
        "<p>{:,} utterances of {}, the same for both. The interval is of {} drawn again and again, for both the same "
        "(paired bootstrap, Bisani &amp; Ney 2004). {:,} that the champion was trained on are left out.</p>"
    ).format(decision["utterances"], decision["split"], f"{decision['unit']}s", decision["left_out"])
    return section("decision", "Decision", told, cards, how)


def slice_cells(row: Row) -> list[Cell]:
    """A slice of the decision, as SLICES has them."""
    name = row["group"] if len(row["group"]) <= LONGEST_GROUP else f"{row['group'][:LONGEST_GROUP]}…"
    return [
        *(row["slice"], name, row["utterances"], percent(row["rate"], 2), percent(row["other_rate"], 2)),
        *(Figure(_points(row["difference"]), row["difference"]), _interval(row), row["unit"], row["verdict"]),
    ]


def slice_texts(row: Row) -> dict[str, str]:
    """The same as texts, by what is above them."""
    cells = zip(SLICES, slice_cells(row), strict=True)
    return {name: cell.text if isinstance(cell, Figure) else str(cell) for name, cell in cells}


def slices_section(decision: Row) -> Markup:
    rule = decision["rule"]
    rows = map(slice_cells, decision["slices"])
    note = Markup(
        "<p>A slice blocks where it is worse by more than {} and its interval is above 0; the intervals of all slices "
        "together hold with 95 %. One of fewer than {} utterances does not decide.</p>"
    ).format(f"{100 * rule['tolerance']:g} points", rule["min_utterances"])
    return section("slices", "Slices", note, data_table(SLICES, rows))


def changed_section(which: str, rows: list[Row], sounds: SplitSounds, file: str) -> Markup:
    """which: "better" or "worse". rows: those utterances, the most changed first. file: holds all of them."""
    shown = rows[:SHOWN]
    ours = align_words([(row["reference"], row["text"]) for row in shown])
    theirs = align_words([(row["reference"], row["other_text"]) for row in shown])
    cells = [
        [
            *(row["other_errors"], row["errors"], row["reference"], heard_text(their), heard_text(mine)),
            *(_player(row["key"], sounds), Markup("<code>{}</code>").format(row["key"])),
        ]
        for row, mine, their in zip(shown, ours, theirs, strict=True)
    ]
    heading = f"{len(rows):,} utterances became {which}"
    return section(f"changed-{which}", heading, data_table(UTTERANCES, cells), first_rows(SHOWN, len(rows), file))


def _player(key: str, sounds: SplitSounds) -> Markup:
    source = f"audio/{key}.mp3" if key in sounds.files else ""
    if key in sounds.inline:
        source = f"data:audio/mpeg;base64,{to_base64(sounds.inline[key])}"
    player = Markup('<audio controls preload="none" aria-label="Utterance {}" src="{}"></audio>')
    return player.format(key, source) if source else Markup()


def _points(value: float) -> str:
    return f"{100 * value:+.2f} points"


def _interval(row: Row) -> str:
    return f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f} points"
