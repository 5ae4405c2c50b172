"""The corpus on a page, what is questionable about it first."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tasks.reports.html_page import html_figure
from tasks.reports.plots.plot_lengths import plot_lengths
from tasks.reports.sections.section_html import data_table, facts_table, percent, section, visible

UNNAMED = "(not said)"


def corpus_section(corpus: dict[str, Any]) -> Markup:
    """corpus: of `describe_corpus` (tasks/ingest/describe_corpus.py)."""
    return section(
        "corpus",
        "Corpus",
        warning_list(corpus["warnings"]),
        _splits(corpus["splits"]),
        _shared(corpus["shared"]),
        _left_out(corpus),
        _origins(corpus),
        _lengths(corpus["splits"]),
        _characters(corpus["characters"]),
    )


def warning_list(lines: list[str]) -> Markup:
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup('<ul class="warnings">{}</ul>').format(items) if lines else Markup()


def _splits(splits: list[dict[str, Any]]) -> Markup:
    heads = ("split", "hours", "utterances", "speakers", "without a speaker", "words", "characters", "shortest, s")
    rows = [
        [row["split"], round(row["seconds"] / 3600, 3)]
        + [row[name] for name in ("utterances", "speakers", "without_speaker", "words", "characters")]
        + [row["shortest"], row["longest"], row["repeated"]]
        for row in splits
    ]
    return data_table((*heads, "longest, s", "repeated sentences"), rows)


def _shared(shared: list[dict[str, Any]]) -> Markup:
    if not shared:
        return Markup()
    rows = [
        [f"{row['split']} and {row['other']}", *(row[name] for name in ("speakers", "sentences", "utterances"))]
        for row in shared
    ]
    heads = ("splits", "speakers in both", "sentences in both", "utterances of the first with such a sentence")
    return data_table(heads, rows, "What splits share")


def _left_out(corpus: dict[str, Any]) -> Markup:
    left_out = [
        [row["split"], row["stage"], row["reason"], row["count"], ", ".join(row["first"])] for row in corpus["left_out"]
    ]
    flagged = [[row["split"], row["flag"], row["count"], ", ".join(row["first"])] for row in corpus["flagged"]]
    return data_table(("split", "stage", "why", "utterances", "first"), left_out, "Left out") + data_table(
        ("split", "what is odd", "utterances", "first"), flagged, "Kept, but flagged"
    )


def _origins(corpus: dict[str, Any]) -> Markup:
    facts = [(f"{split} was taken from", _counts(told)) for split, told in corpus["split_from"].items()]
    facts.append(("speakers were taken from", _counts(corpus["speaker_from"])))
    if not any(value for _, value in facts):
        return Markup()
    return Markup("<h3>Where this was taken from</h3>{}").format(facts_table(facts))


def _counts(told: Mapping[str, int]) -> str:
    return ", ".join(f"{name or UNNAMED} ({count:,} rows)" for name, count in told.items())


def _lengths(splits: list[dict[str, Any]]) -> Markup:
    drawn = list[Markup]()
    for unit in ("seconds", "characters"):
        found = {row["split"]: row[f"{unit}_histogram"] for row in splits if row[f"{unit}_histogram"]["counts"]}
        if found:
            told = f"utterances of {', '.join(found)} by their {unit}"
            drawn.append(html_figure(plot_lengths(found, unit), told))
    return Markup('<h3>Lengths</h3><div class="figures">{}</div>').format(Markup("").join(drawn)) if drawn else Markup()


def _characters(characters: list[dict[str, Any]]) -> Markup:
    """The alphabet, which may be thousands of characters: folded away."""
    splits = [name for name in (characters[0] if characters else {}) if name != "character"]
    total = {name: max(1, sum(row[name] for row in characters)) for name in splits}
    rows = [
        [visible(row["character"]), _code(row["character"])]
        + [cell for name in splits for cell in (row[name], percent(row[name] / total[name], 2))]
        for row in characters
    ]
    heads = ("character", "code", *(head for name in splits for head in (name, "share")))
    whole = Markup("<details><summary>{} characters, as they are after text normalization</summary>{}</details>")
    return whole.format(len(characters), data_table(heads, rows)) if characters else Markup()


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
