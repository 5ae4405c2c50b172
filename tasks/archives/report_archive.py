"""What became of an archive, as a page beside its tables: totals, failures by reason, confidence, where to look first.

The page is of the last run, which took its time: it is no part of the results that are the same for every run.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from heapq import nlargest
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from infra import storage
from infra.errors import UserError
from tasks.archives.archive_job import AUDIO, Unit
from tasks.archives.output_store import OutputStore
from tasks.archives.plan_work import Work
from tasks.archives.run_parts import RunSummary
from tasks.archives.work_list import readable
from tasks.reports.html_page import html_cards, html_page, html_section, html_table
from tasks.steps.parquet_io import from_parquet

SHOWN = 20  # of what is to be looked at first
BINS = 10
REASON = "reason: "  # of counts
Row = dict[str, Any]


class TooManyFailures(UserError):  # noqa: N818  (as the error that it is)
    """Raised when all is done. result: what `report_archive` would have returned."""

    def __init__(self, result: dict[str, Any], what: str = "files") -> None:
        allowed = f"where error_budget allows {result['error_budget']:.1%}"
        where = f"see the table quarantine and {result['report']}"
        super().__init__(f"{result['failed_share']:.1%} of the {what} failed, {allowed}; the others are done; {where}")
        self.result = result


def report_archive(store: OutputStore, work: Work, summary: RunSummary, error_budget: float) -> dict[str, Any]:
    """The manifest, the page and what the run ends with. Raises TooManyFailures where more failed than the budget."""
    told = store.finish()
    counts = told["counts"]
    share = counts.get("quarantined", 0) / max(1, counts.get("files", 0))
    result = run_result(store, work, summary, told, AUDIO) | {"failed_share": share, "error_budget": error_budget}
    write_report(store, result, _body(store, told, result))
    if share > error_budget:
        raise TooManyFailures(result)
    return result


def run_result(store: OutputStore, work: Work, summary: RunSummary, told: dict[str, Any], unit: Unit) -> dict[str, Any]:
    """What a run ends with. told: the manifest."""
    return {
        "output": readable(store.uri),
        "report": storage.join(readable(store.uri), "report.html"),
        "parts": told["parts"],
        "parts_done": summary.parts,
        "parts_resumed": work.resumed,
        "seconds": summary.seconds,
        "startup_seconds": summary.first_seconds,
        unit.rate.removesuffix("_a_second"): summary.amount,
        unit.rate: summary.amount / max(summary.seconds, 1e-9),
        "counts": told["counts"],
        "sha256": told["sha256"],
        "ignored": dict(work.ignored.most_common()),
        "source": readable(work.source),
    }


def write_report(store: OutputStore, result: dict[str, Any], body: Iterable[str]) -> None:
    """The page, and the result beside it."""
    store.write_report("run.json", json.dumps(result, indent=1, ensure_ascii=False).encode())
    store.write_report("report.html", html_page(f"Archive {printable(result['source'])}", body))


def _body(store: OutputStore, told: dict[str, Any], result: dict[str, Any]) -> Iterable[str]:
    counts = told["counts"]
    yield html_cards(_cards(counts, result))
    yield html_table(["", "all runs", "this run"], _totals(counts, result))
    reasons = {name.removeprefix(REASON): n for name, n in counts.items() if name.startswith(REASON)}
    if reasons:
        rows = [[reason, f"{n:,.0f}"] for reason, n in sorted(reasons.items(), key=_most)]
        yield html_section("Failures by reason", html_table(["reason", "files"], rows))
    kinds = [name for name in ("decoded_seconds", "silence_seconds", "failed_seconds") if name in counts]
    total = max(sum(counts[name] for name in kinds), 1e-9)
    rows = [[n.removesuffix("_seconds"), f"{counts[n] / 3600:,.3f}", f"{counts[n] / total:.1%}"] for n in kinds]
    yield html_section("Coverage", html_table(["of the channels", "hours", "share"], rows))
    confidences, flags, doubtful = _segments(store)
    most = max(confidences.values(), default=1)
    bar = Markup("<div style='background:#7aa6d8;height:.8rem;width:calc({} * min(20rem, 40vw))'></div>")
    shares = [round(confidences[i] / most, 4) for i in range(BINS)]
    drawn = [[f"{i / BINS:.1f}", bar.format(shares[i]), f"{confidences[i]:,}"] for i in range(BINS)]
    yield html_section("Confidence of the words", html_table(["from", "", "words"], drawn))
    if flags:
        rows = [[flag, f"{n:,}"] for flag, n in sorted(flags.items(), key=_most)]
        yield html_section("Flags", html_table(["flag", "segments"], rows))
    names = ["file", "status", "reason", "segments", "flagged", "confidence"]
    yield html_section("Files to look at first", html_table(names, map(_file_cells, _first_files(store))))
    if doubtful:
        yield html_section("Segments to look at first", *map(_span, doubtful))


def _cards(counts: dict[str, Any], result: dict[str, Any]) -> list[tuple[str, str, str]]:
    segments, flagged = counts.get("segments", 0), counts.get("flagged", 0)
    return [
        ("files", f"{counts.get('files', 0):,.0f}", f"{counts.get('seconds', 0) / 3600:,.2f} h of sound"),
        ("in the quarantine", f"{counts.get('quarantined', 0):,.0f}", f"{result['failed_share']:.2%} of the files"),
        ("flagged segments", f"{flagged:,.0f}", f"{flagged / max(1, segments):.1%} of {segments:,.0f}"),
        (
            "seconds of sound a second",
            f"{result['audio_seconds_a_second']:,.0f}",
            f"{result['seconds']:,.0f} s of work",
        ),
    ]


def _most(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]


def _totals(counts: dict[str, Any], result: dict[str, Any]) -> list[list[str]]:
    def of(name: str) -> str:
        return f"{counts.get(name, 0):,.0f}"

    return [
        ["files", of("files"), ""],
        ["in the quarantine", f"{of('quarantined')} ({result['failed_share']:.2%})", ""],
        ["hours of sound", f"{counts.get('seconds', 0) / 3600:,.3f}", f"{result['audio_seconds'] / 3600:,.3f}"],
        ["bytes", of("bytes"), ""],
        ["segments", of("segments"), ""],
        ["flagged", of("flagged"), ""],
        ["words", of("words"), ""],
        ["seconds of work", "", f"{result['seconds']:,.1f}"],
        ["of these until the first result", "", f"{result['startup_seconds']:,.1f}"],
        ["seconds of sound a second", "", f"{result['audio_seconds_a_second']:,.1f}"],
        ["parts", f"{result['parts']:,}", f"{result['parts_done']:,}"],
    ]


def _segments(store: OutputStore) -> tuple[Counter[int], Counter[str], list[Row]]:
    """Of all segments the words by confidence, the flags, and the flagged ones of least confidence."""
    confidences, flags, doubtful = Counter[int](), Counter[str](), list[Row]()
    columns = ["file", "channel", "start", "end", "text", "confidence", "words", "flags"]
    for data in store.tables("transcripts"):
        rows = from_parquet(data, columns).to_pylist()
        for row in rows:
            confidences.update(min(BINS - 1, int(BINS * word["confidence"])) for word in row["words"])
            flags.update(row["flags"])
        doubtful = nlargest(SHOWN, [*doubtful, *(row for row in rows if row["flags"])], key=_doubt)
    return confidences, flags, doubtful


def _doubt(row: Row) -> tuple[int, float, float]:
    return len(row["flags"]), -(row["confidence"] or 0.0), row["end"] - row["start"]


def _first_files(store: OutputStore) -> list[Row]:
    """Those that failed, each with its reason, then those with the most flags, then the least sure."""
    found, reasons = list[Row](), dict[tuple[str, int], str]()
    failures = dict(store.numbered_tables("quarantine"))
    for part, data in store.numbered_tables("files"):
        rows = [row | {"part": part} for row in from_parquet(data).to_pylist()]
        found = nlargest(SHOWN, [*found, *rows], key=_urgency)
    for part in {row["part"] for row in found} & failures.keys():
        for row in from_parquet(failures[part], ["file", "reason"]).to_pylist():
            reasons[row["file"], part] = row["reason"]
    return [row | {"reason": reasons.get((row["file"], row["part"]), "")} for row in found]


def _urgency(row: Row) -> tuple[bool, float, float]:
    sure = row["confidence"] if row["confidence"] is not None else 1.0
    return row["status"] != "transcribed", row["flagged"] / max(1, row["segments"]), -sure


def _file_cells(row: Row) -> list[str]:
    sure = "" if row["confidence"] is None else f"{row['confidence']:.2f}"
    told = [printable(row["file"]), row["status"], row["reason"]]
    return [*told, f"{row['segments']:,}", f"{row['flagged']:,}", sure]


def _span(row: Row) -> Markup:
    """Played from where the file lies, where a browser may read it: not on S3, and not in an archive."""
    shown = {name: row[name] for name in ("channel", "start", "end", "text")}
    player = Markup('<p class="note">not played here: it lies on a server or in an archive, or is gone</p>')
    if os.path.isfile(row["file"]):
        place = f"file://{quote(row['file'])}#t={row['start']:.2f},{row['end']:.2f}"
        player = Markup('<audio controls preload="none" src="{}"></audio>').format(place)
    return Markup(
        '<article><code dir="auto">{file}</code>'
        '<p class="note">channel {channel}, {start:.2f} to {end:.2f} s: {why}</p>'
        '<p dir="auto">{text}</p>{player}</article>'
    ).format(file=printable(row["file"]), why=", ".join(row["flags"]), player=player, **shown)


def printable(line: str) -> str:
    """With escapes for what has no shape of its own, or turns the direction of what follows."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def text_summary(result: dict[str, Any]) -> str:
    """For a terminal."""
    counts = result["counts"]
    lines = [
        f"files       {counts.get('files', 0):,.0f}, {counts.get('seconds', 0) / 3600:,.3f} h of sound",
        f"quarantine  {counts.get('quarantined', 0):,.0f} files ({result['failed_share']:.2%})",
        *(f"            {n:,.0f} {name.removeprefix(REASON)}" for name, n in counts.items() if name.startswith(REASON)),
        f"text        {counts.get('words', 0):,.0f} words, {counts.get('flagged', 0):,.0f} of "
        f"{counts.get('segments', 0):,.0f} segments flagged",
        f"this run    {result['audio_seconds']:,.0f} s of sound in {result['seconds']:,.0f} s, "
        f"{result['parts_done']:,} parts, {result['parts_resumed']:,} done before",
        f"output      {result['output']}",
        f"report      {result['report']}",
    ]
    return "\n".join(map(printable, lines))
