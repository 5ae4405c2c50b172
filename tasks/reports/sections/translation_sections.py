"""What a translator's report says beside its scores: examples with their attention, what goes wrong, comparisons."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from tasks.reports.html_page import html_figure, join_html
from tasks.reports.plots.plot_attention import plot_attention
from tasks.reports.sections.section_html import Figure, beside, data_table, first_rows, percent, section
from tasks.scoring.compare_transcripts import Baseline
from tasks.scoring.error_analysis import CORRECT, DELETION, Alignment, align_words

Row = dict[str, Any]
EXAMPLES, LONGEST_EXAMPLE = 10, 40  # sentences that are drawn, and their words
SHOWN = 200  # sentences of a table
CHANGED = 50
ERRORS = {
    "untranslated": ("Untranslated words", "Words of the source that a text keeps and its reference does not."),
    "copied": ("Copied words", "Words of the source that text and reference both keep, such as names."),
    "repeated": ("Repeated phrases", "Three words in a row that a text says more often than its reference."),
}
NAMES = {"bleu": "BLEU", "bleu_lowercased": "BLEU, lowercased", "chrf": "chrF", "ter": "TER"}
VERDICTS = {
    "better": "better: 0 is outside the interval",
    "worse": "worse: 0 is outside the interval",
    "no clear difference": "no clear difference: 0 is in the interval",
}


def example_section(split: str, rows: Sequence[Row]) -> Markup:
    """Sentences of every length, with their n-best and where the translation looked."""
    return section(f"examples-{split}", f"{split}: what it read, wrote and looked at", *map(_example, _spread(rows)))


def _spread(rows: Sequence[Row]) -> Iterator[Row]:
    """So many, evenly over the lengths that can be drawn; those with attention before others."""
    drawn = [row for row in rows if row["attention"]] or list(rows)
    short = [row for row in drawn if max(len(row["words"]), len(row["source_words"])) <= LONGEST_EXAMPLE + 1]
    ranked = sorted(short, key=lambda row: (len(row["source_words"]), row["key"]))
    places = np.linspace(0, len(ranked) - 1, min(EXAMPLES, len(ranked))).round().astype(int)
    return (ranked[place] for place in places.tolist())


def _example(row: Row) -> Markup:
    (alignment,) = align_words([(row["reference"], row["text"])])
    texts = Markup(
        '<p dir="auto"><small>source</small><br>{}</p><p dir="auto"><small>reference</small><br>{}</p>'
        '<p dir="auto"><small>translation, beside the reference</small><br>{}</p>'
    ).format(row["source_text"], row["reference"], marked_words(alignment))
    nbest = data_table(("n-best", "score"), [[one["text"], _number(one["score"])] for one in row["hypotheses"]])
    drawn = Markup()
    if row["attention"]:
        picture = plot_attention(np.array(row["attention"]), row["words"], row["source_words"])
        drawn = html_figure(picture, "attention of each word of the translation, down, to those of the source, across")
    place = Markup("<small><code>{}</code></small>").format(row["source"] or row["key"])
    return Markup("<article>{}{}{}</article>").format(texts, beside((drawn, nbest)), place)


def worst_section(split: str, rows: Sequence[Row], file: str) -> Markup:
    """rows: with `chrf`, the worst first. file: holds all of them."""
    shown = rows[:SHOWN]
    aligned = align_words([(row["reference"], row["text"]) for row in shown])
    cells = [
        [_number(row["chrf"], 1), _placed(row), row["reference"], marked_words(found)]
        for row, found in zip(shown, aligned, strict=True)
    ]
    note = Markup(
        '<p class="note">By the chrF of each sentence, the lowest first. In a translation, words that the reference has'
        ' and it has not are <span class="deletion">crossed out</span>, others <span class="insertion">put in</span> or'
        ' <span class="substitution">written instead</span>: another wording is not always an error.</p>'
    )
    heads = ("chrF", "source", "reference", "translation")
    table = _scrolled(data_table(heads, cells))
    return section(f"worst-{split}", f"{split}: worst sentences", note, table, first_rows(SHOWN, len(rows), file))


def error_section(split: str, errors: Row) -> Markup:
    """errors: of tasks/scoring/translation_errors.py."""
    told = Markup("<p>{:,} texts are empty, {:,} are their source, unchanged.</p>")
    parts = [told.format(errors["empty"], errors["identical"])]
    for name, (title, meaning) in ERRORS.items():
        one = errors[name]
        head = Markup("<h3>{}: {:,}, sentences: {:,}</h3><p>{}</p>")
        parts.append(head.format(title, one["words"], one["sentences"], meaning))
        times = Markup("<span>{}</span> <small>{}</small>")
        listed = Markup(", ").join(
            times.format(word, f"{count}\u00d7" if count > 1 else "") for word, count in one["common"]
        )
        parts.append(Markup("<p>{}</p>").format(listed))
    return section(f"errors-{split}", f"{split}: copied, untranslated, repeated", *parts)


def marked_words(alignment: Alignment) -> Markup:
    """A translation with what is not in its reference marked word by word, and what is only there crossed out."""
    plain, marked = Markup("{}"), Markup('<span class="{}">{}</span>')
    return Markup(" ").join(
        plain.format(edit.hypothesis)
        if edit.kind == CORRECT
        else marked.format(edit.kind, edit.reference if edit.kind == DELETION else edit.hypothesis)
        for edit in alignment
    )


def translation_comparison(split: str, found: Sequence[tuple[Baseline, Row | None]], file: str) -> Markup:
    """found: each baseline with what `compare_translations` says (None: not the same sentences). file: holds it all."""
    parts = [_compared(*one, file) for one in found]
    if not parts:
        parts = [Markup("<p>There is no other champion, and no other run on the same data.</p>")]
    return section(f"comparison-{split}", f"{split}: compared with the champion and the run before", *parts)


def _compared(baseline: Baseline, told: Row | None, file: str) -> Markup:
    title = Markup("<h3>With the {}: {}</h3>").format(baseline.role, baseline.name)
    if told is None:
        return title + Markup("<p>{}</p>").format(baseline.problem or "not measured on this data")
    rows = [_metric_row(NAMES[name], one) for name, one in told["metrics"].items()]
    heads = ("metric", "here", "the other", "difference", "95 % interval", "p", "verdict")
    note = Markup(
        "<p>{:,} sentences became better by their chrF, {:,} worse, {:,} have the same. Interval and p are those of "
        "the paired bootstrap over sentences (Koehn 2004).</p>"
    ).format(len(told["better"]), len(told["worse"]), told["same"])
    changed = (_changed(told[which], which, file) for which in ("worse", "better"))
    return title + _scrolled(data_table(heads, rows)) + note + join_html(changed)


def _metric_row(name: str, one: Row) -> list[Any]:
    low, high = one["interval"]
    numbers = [
        _number(one["score"]),
        _number(one["other_score"]),
        Figure(f"{one['difference']:+.2f}", one["difference"]),
    ]
    told = [f"{low:+.2f} to {high:+.2f}", Figure(f"{one['p_value']:.3f}", one["p_value"]), VERDICTS[one["verdict"]]]
    return [name, *numbers, *told]


def _changed(rows: Sequence[Row], which: str, file: str) -> Markup:
    if not rows:
        return Markup()
    shown = rows[:CHANGED]
    ours = align_words([(row["reference"], row["text"]) for row in shown])
    theirs = align_words([(row["reference"], row["other_text"]) for row in shown])
    cells = [
        [Figure(f"{row['chrf'] - row['other_chrf']:+.1f}", row["chrf"] - row["other_chrf"]), row["source_text"]]
        + [row["reference"], marked_words(their), marked_words(mine)]
        for row, mine, their in zip(shown, ours, theirs, strict=True)
    ]
    table = _scrolled(data_table(("chrF", "source", "reference", "before", "now"), cells))
    whole = Markup("<details><summary>{:,} sentences became {}</summary>{}{}</details>")
    return whole.format(len(rows), which, table, first_rows(CHANGED, len(rows), file))


def length_section(split: str, groups: Sequence[Row]) -> Markup:
    """Scores by the words of the source."""
    rows = [
        [
            f"{one['group']} words",
            one["sentences"],
            *(_number(one[name]) for name in NAMES),
            percent(one["length_ratio"]),
        ]
        for one in groups
    ]
    heads = ("source", "sentences", *NAMES.values(), "length ratio")
    return section(f"length-{split}", f"{split}: by length", _scrolled(data_table(heads, rows)))


def _number(value: float, digits: int = 2) -> Figure:
    return Figure(f"{value:.{digits}f}", value)


def _placed(row: Row) -> Markup:
    return Markup("{}<br><small><code>{}</code></small>").format(row["source_text"], row["source"])


def _scrolled(table: Markup) -> Markup:
    return Markup('<div class="scroll">{}</div>').format(table)
