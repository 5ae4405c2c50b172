"""What became of an archive of documents, as a page beside its tables: totals, failures, flags, where to look first."""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any

from markupsafe import Markup

from tasks.archives.archive_job import TEXT
from tasks.archives.output_store import OutputStore
from tasks.archives.plan_work import Work
from tasks.archives.report_archive import REASON, SHOWN, TooManyFailures, printable, run_result, write_report
from tasks.archives.run_parts import RunSummary
from tasks.archives.text.cut_documents import join_documents
from tasks.documents.document import DocumentConfig
from tasks.reports.html_page import html_cards, html_section, html_table
from tasks.steps.parquet_io import from_parquet

FLAG = "flag: "  # of counts
COLUMNS = ["file", "line", "source", "translation", "score", "tokens", "flags"]
Row = dict[str, Any]


def report_translations(
    store: OutputStore, work: Work, summary: RunSummary, documents: DocumentConfig, error_budget: float
) -> Row:
    """Documents that were cut, the manifest, the page and what the run ends with. Raises TooManyFailures where a larger
    share of the lines, or of the files, failed than the budget.
    """
    told = store.finish(join_documents(store, documents))
    counts = told["counts"]
    lines = counts.get("quarantined", 0) / max(1, counts.get("lines", 0))
    files = counts.get("files_quarantined", 0) / max(1, counts.get("files", 0))
    share = min(1.0, max(lines, files))
    result = run_result(store, work, summary, told, TEXT) | {"failed_share": share, "error_budget": error_budget}
    write_report(store, result, _body(store, counts, result))
    if share > error_budget:
        raise TooManyFailures(result, "lines" if lines > files else "files")
    return result


def _body(store: OutputStore, counts: Row, result: Row) -> Iterable[str]:
    def told(name: str) -> str:
        return f"{counts.get(name, 0):,.0f}"

    flagged = f"{counts.get('flagged', 0) / max(1, counts.get('sentences', 0)):.1%} of {told('sentences')}"
    yield html_cards(
        [
            ("lines", told("lines"), f"in {told('files')} files"),
            ("in the quarantine", told("quarantined"), f"{result['failed_share']:.2%} of the lines or files"),
            ("flagged sentences", told("flagged"), flagged),
            ("tokens a second", f"{result['tokens_a_second']:,.0f}", f"{result['seconds']:,.0f} s of work"),
        ]
    )
    rows = [
        *([words, told(name), ""] for words, name in _TOTALS.items()),
        ["source tokens", told("tokens"), f"{result['tokens']:,.0f}"],
        ["seconds of work", "", f"{result['seconds']:,.1f}"],
        ["of these until the first result", "", f"{result['startup_seconds']:,.1f}"],
        ["tokens a second", "", f"{result['tokens_a_second']:,.1f}"],
        ["parts", f"{result['parts']:,}", f"{result['parts_done']:,}"],
    ]
    yield html_table(["", "all runs", "this run"], rows)
    for title, prefix, what in (("Failures by reason", REASON, "lines"), ("Flags", FLAG, "sentences")):
        if found := _by_count(counts, prefix):
            yield html_section(title, html_table([title, what], [[name, f"{n:,.0f}"] for name, n in found]))
    if doubtful := _first_sentences(store):
        yield html_section("Sentences to look at first", *map(_pair, doubtful))


_TOTALS = {
    "files": "files",
    "files that could not be read": "files_quarantined",
    "lines in": "lines",
    "lines out": "lines_out",
    "sentences": "sentences",
    "lines and sentences in the quarantine": "quarantined",
    "flagged sentences": "flagged",
    "source tokens that the vocabulary lacks": "unknown",
    "bytes": "bytes",
}


def _by_count(counts: Row, prefix: str) -> list[tuple[str, float]]:
    found = [(name.removeprefix(prefix), n) for name, n in counts.items() if name.startswith(prefix)]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def _first_sentences(store: OutputStore) -> list[Row]:
    """Those with the most flags, and of these the least probable for their length."""
    found = list[Row]()
    for data in store.tables("translations"):
        rows = (row for row in from_parquet(data, COLUMNS).to_pylist() if row["flags"] and row["score"] is not None)
        found = nsmallest(SHOWN, [*found, *rows], key=lambda row: (-len(row["flags"]), row["score"] / row["tokens"]))
    return found


def _pair(row: Row) -> Markup:
    return Markup(
        '<article><code dir="auto">{file}</code><p class="note">line {line}: {why}</p>'
        '<p dir="auto">{source}</p><p dir="auto">{translation}</p></article>'
    ).format(
        file=printable(row["file"]),
        why=", ".join(row["flags"]),
        line=f"{row['line']:,}",
        source=row["source"],
        translation=row["translation"],
    )


def text_summary(result: Row) -> str:
    """For a terminal."""
    counts = result["counts"]

    def told(name: str) -> str:
        return f"{counts.get(name, 0):,.0f}"

    lines = [
        f"files       {told('files')}, {told('files_quarantined')} of them could not be read",
        f"lines       {told('lines')} in, {told('lines_out')} out",
        f"quarantine  {told('quarantined')} ({result['failed_share']:.2%})",
        *(f"            {n:,.0f} {name}" for name, n in _by_count(counts, REASON)),
        f"text        {told('sentences')} sentences, {told('tokens')} tokens, {told('flagged')} sentences flagged",
        *(f"            {n:,.0f} {name}" for name, n in _by_count(counts, FLAG)),
        f"this run    {result['tokens']:,.0f} tokens in {result['seconds']:,.0f} s, "
        f"{result['tokens_a_second']:,.0f} a second, {result['parts_done']:,} parts, "
        f"{result['parts_resumed']:,} done before",
        f"output      {result['output']}",
        f"report      {result['report']}",
    ]
    return "\n".join(map(printable, lines))
