"""What became of an archive of photos, as a page beside its tables: totals, photos with captions, the quarantine."""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any

import numpy as np
from markupsafe import Markup

from infra import storage
from infra.errors import UserError
from tasks.archives.archive_job import PHOTOS
from tasks.archives.item_file import check_unchanged
from tasks.archives.output_store import OutputStore
from tasks.archives.plan_work import Work
from tasks.archives.report_archive import REASON, SHOWN, TooManyFailures, printable, run_result, write_report
from tasks.archives.run_parts import RunSummary
from tasks.archives.work_list import WorkItem
from tasks.images.photo import BadPhoto, open_photo
from tasks.reports.html_page import html_cards, html_section, html_table
from tasks.reports.photo_preview import SIDE, html_photo
from tasks.steps.parquet_io import from_parquet

MOST_FAILURES = 200  # rows of the quarantine that are shown
COLUMNS = ["file", "caption", "score", "n_best", "truncated"]
Row = dict[str, Any]


def report_photos(store: OutputStore, work: Work, summary: RunSummary, error_budget: float) -> Row:
    """The manifest, the page and what the run ends with. Raises TooManyFailures where more failed than the budget."""
    told = store.finish()
    counts = told["counts"]
    share = counts.get("quarantined", 0) / max(1, counts.get("files", 0))
    result = run_result(store, work, summary, told, PHOTOS) | {"failed_share": share, "error_budget": error_budget}
    write_report(store, result, _body(store, counts, result))
    if share > error_budget:
        raise TooManyFailures(result)
    return result


def _body(store: OutputStore, counts: Row, result: Row) -> Iterable[str]:
    def told(name: str) -> str:
        return f"{counts.get(name, 0):,.0f}"

    captioned, failed = counts.get("captioned", 0), int(counts.get("quarantined", 0))
    words = counts.get("words", 0) / max(1, captioned)
    yield html_cards(
        [
            ("photos", told("files"), f"{counts.get('bytes', 0) / 1e6:,.1f} MB"),
            ("captioned", told("captioned"), f"{words:.1f} words each"),
            ("in the quarantine", told("quarantined"), f"{result['failed_share']:.2%} of the photos"),
            ("photos a second", f"{result['photos_a_second']:,.1f}", f"{result['seconds']:,.0f} s of work"),
        ]
    )
    rows = [
        *([name, told(key), ""] for name, key in _TOTALS.items()),
        ["seconds of work", "", f"{result['seconds']:,.1f}"],
        ["of these until the first result", "", f"{result['startup_seconds']:,.1f}"],
        ["photos in this run", "", f"{result['photos']:,.0f}"],
        ["parts", f"{result['parts']:,}", f"{result['parts_done']:,}"],
    ]
    yield html_table(["", "all runs", "this run"], rows)
    if captioned:
        even, doubtful = _chosen(store, int(captioned))
        shown = {(row["part"], row["file"]) for row in (*even, *doubtful)}
        every = (item for found, _ in store.lists() for item in found)
        items = {place: item for item in every if (place := (item.part, item.file)) in shown}
        yield html_section("Photos, evenly over the archive", *(_photo(row, items) for row in even))
        yield html_section("Captions of the lowest score", *(_photo(row, items) for row in doubtful))
    if failed:
        reasons = [[reason, f"{n:,.0f}"] for reason, n in failure_reasons(counts)]
        yield html_section("Failures by reason", html_table(["reason", "photos"], reasons))
        title = "Quarantine" if failed <= MOST_FAILURES else f"Quarantine, the first {MOST_FAILURES} of {failed:,}"
        yield html_section(title, html_table(["file", "reason", "detail", "bytes"], _failures(store)))


_TOTALS = {
    "photos": "files",
    "captioned": "captioned",
    "in the quarantine": "quarantined",
    "captions as long as the search allows": "truncated",
    "captions without a word": "empty",
    "words": "words",
    "bytes": "bytes",
}


def failure_reasons(counts: Row) -> list[tuple[str, float]]:
    """The most frequent first."""
    found = [(name.removeprefix(REASON), n) for name, n in counts.items() if name.startswith(REASON)]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def _chosen(store: OutputStore, captioned: int) -> tuple[list[Row], list[Row]]:
    """Of all captions some at equal distances, and those of the lowest score."""
    wanted = set(np.linspace(0, captioned - 1, min(SHOWN, captioned)).astype(int).tolist())
    even, doubtful, number = list[Row](), list[Row](), 0
    for part, data in store.numbered_tables("captions"):
        rows = [row | {"part": part} for row in from_parquet(data, COLUMNS).to_pylist()]
        even += [row for at, row in enumerate(rows, number) if at in wanted]
        doubtful = nsmallest(SHOWN, [*doubtful, *rows], key=lambda row: row["score"])
        number += len(rows)
    return even, doubtful


def _failures(store: OutputStore) -> list[list[str]]:
    rows = list[list[str]]()
    for data in store.tables("quarantine"):
        for row in from_parquet(data, ["file", "reason", "detail", "size"]).to_pylist():
            if len(rows) == MOST_FAILURES:
                return rows
            told = [printable(row[name]) for name in ("file", "reason", "detail")]
            rows.append([*told, f"{row['size']:,}"])
    return rows


def _photo(row: Row, items: dict[tuple[int, str], WorkItem]) -> Markup:
    others = [one["text"] for one in row["n_best"][1:4]]
    return Markup(
        '<article class="photo">{}<div><p dir="auto">{}</p>{}<p class="note">score {}{}</p><code dir="auto">{}</code>'
        "</div></article>"
    ).format(
        _thumbnail(items[row["part"], row["file"]], row["caption"]),
        row["caption"],
        Markup("").join(Markup('<p class="note" dir="auto">{}</p>').format(text) for text in others),
        f"{row['score']:.2f}",
        ", truncated" if row["truncated"] else "",
        printable(row["file"]),
    )


def _thumbnail(item: WorkItem, caption: str) -> Markup:
    """Read again, where it lies as it was; it is no part of the output."""
    try:
        check_unchanged(item)
        photo = open_photo(storage.read(item.place, max(0, item.offset), item.size))
    except (OSError, UserError, BadPhoto):
        return Markup('<p class="note">not shown: it is gone, changed or too large</p>')
    photo.thumbnail((SIDE, SIDE))
    return html_photo(photo, caption)


def photo_summary(result: Row) -> str:
    """For a terminal."""
    counts = result["counts"]

    def told(name: str) -> str:
        return f"{counts.get(name, 0):,.0f}"

    lines = [
        f"photos      {told('files')}, {counts.get('bytes', 0) / 1e6:,.1f} MB",
        f"captioned   {told('captioned')}, {told('truncated')} of the captions truncated, {told('empty')} empty",
        f"quarantine  {told('quarantined')} ({result['failed_share']:.2%})",
        *(f"            {n:,.0f} {reason}" for reason, n in failure_reasons(counts)),
        f"this run    {result['photos']:,.0f} photos in {result['seconds']:,.0f} s, "
        f"{result['photos_a_second']:,.1f} a second, {result['parts_done']:,} parts, "
        f"{result['parts_resumed']:,} done before",
        f"output      {result['output']}",
        f"report      {result['report']}",
    ]
    return "\n".join(map(printable, lines))
