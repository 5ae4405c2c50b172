"""A recognizer beside another on the same utterances: by how much it is better, and which utterances changed."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from tasks.reports.sections.section_html import data_table, heard_text, percent, section
from tasks.scoring.compare_transcripts import Baseline
from tasks.scoring.error_analysis import align_words

SHOWN = 50  # utterances of each table

VERDICTS = {
    "better": "better: the whole interval is below 0",
    "worse": "worse: the whole interval is above 0",
    "no clear difference": "no clear difference: 0 is in the interval",
}


def comparison_section(split: str, found: Sequence[tuple[Baseline, dict[str, Any] | None]], file: str) -> Markup:
    """found: each baseline with what `compare_transcripts` says (None: not the same utterances). file: holds it all."""
    parts = [_compared(baseline, told, file) for baseline, told in found]
    if not parts:
        parts = [Markup("<p>There is no other champion, and no other run on the same data.</p>")]
    return section(f"comparison-{split}", f"{split}: compared with the champion and the run before", *parts)


def _compared(baseline: Baseline, told: dict[str, Any] | None, file: str) -> Markup:
    title = Markup("<h3>With the {}: {}</h3>").format(baseline.role, baseline.name)
    if told is None:
        problem = baseline.problem or "not measured on this data"
        return title + Markup("<p>{}</p>").format(problem)
    low, high = told["interval"]
    heads = (
        "WER",
        "WER of the other",
        "difference",
        "95 % interval",
        "probability of improvement",
        "verdict",
    )
    interval = f"{100 * low:+.2f} to {100 * high:+.2f} points"
    row = [percent(told["wer"], 2), percent(told["other_wer"], 2), f"{100 * told['difference']:+.2f} points", interval]
    row += [percent(told["improvement"], 0), VERDICTS[told["verdict"]]]
    note = Markup(
        "<p>{:,} utterances became better, {:,} worse, {:,} have as many errors as before. The interval is that of the "
        "paired bootstrap over utterances (Bisani &amp; Ney 2004).</p>"
    ).format(len(told["better"]), len(told["worse"]), told["same"])
    return title + data_table(heads, [row]) + note + _changed(told, "worse", file) + _changed(told, "better", file)


def _changed(told: dict[str, Any], which: str, file: str) -> Markup:
    rows = told[which]
    if not rows:
        return Markup()
    shown, cells = rows[:SHOWN], []
    ours = align_words([(row["reference"], row["text"]) for row in shown])
    theirs = align_words([(row["reference"], row["other_text"]) for row in shown])
    for row, mine, their in zip(shown, ours, theirs, strict=True):
        texts = (row["reference"], heard_text(their), heard_text(mine))
        errors = (row["errors"] - row["other_errors"], row["other_errors"], row["errors"])
        cells.append([*errors, *texts, Markup("<code>{}</code>").format(row["key"])])
    heads = ("change", "errors before", "errors now", "spoken", "heard before", "heard now", "utterance")
    cut = Markup("<p>The first {} of {:,}; all are in <code>{}</code>.</p>").format(SHOWN, len(rows), file)
    whole = Markup("<details{}><summary>{} utterances became {}</summary>{}{}</details>")
    opened = Markup(" open") if which == "worse" else Markup()
    return whole.format(opened, f"{len(rows):,}", which, data_table(heads, cells), cut if len(rows) > SHOWN else "")
