"""A captioner's page: scores, by length, photos with captions and references, and where it looked for each word."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.bundles.bundle_files import TRAINING, read_sight
from tasks.reports.html_page import as_json, html_cards, html_section, html_table, join_html, put_page
from tasks.reports.photo_preview import attention_strip, html_photo, preview_photo
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.sections.run_section import run_section
from tasks.reports.sections.section_html import data_table, percent
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts

SHOWN, LOOKED = 12, 6  # photos of a split: the worst, the best, and those by the way; and drawn with attention
Row = dict[str, Any]
SIGNED = Markup('<p class="note">sacreBLEU <code>{}</code>, chrF <code>{}</code></p>')
COLUMNS = Markup(
    '<p class="note">Captions are decoded by the beam, never with the truth before them. BLEU-1 to 4, CIDEr-D and '
    "METEOR compare words in lower case without punctuation, as papers do; all references of a photo count. Novel: "
    "captions that no training photo has. Exact: captions that are one of the references.</p>"
)


@dataclass(frozen=True, kw_only=True)
class CaptionPage:
    """title: what the page is about. splits: those that the scores are of. settings: of the run, names and values."""

    title: str
    splits: tuple[str, ...]
    settings: tuple[tuple[str, str], ...] = ()


@step
def report_captions(
    bundle: Artifact,
    shards: Artifact,
    captions: tuple[Artifact, ...],
    scores: tuple[Artifact, ...],
    page: CaptionPage,
    run: RunFacts = NO_FACTS,
) -> Artifact:
    """`report.html`, `report.json` with the same numbers, and every photo of a split in `SPLIT.json`. run: of the run
    that made the page.
    """
    history, corpus = bundle.read_json(TRAINING)["history"], shards.read_json("summary.json")
    told = {split: a.read_json("scores.json") for split, a in zip(page.splits, scores, strict=True)}
    said = {split: read_parts(artifact) for split, artifact in zip(page.splits, captions, strict=True)}
    body = [_numbers(told), html_section("Learning curve", plot_learning_curves(history, "nats a token", "dev BLEU-4"))]
    body += [_looked(told)] if any(one["looked"] for one in told.values()) else []
    for split, rows in said.items():
        photos = {row["key"]: row for row in rows}
        body += [_length(split, told[split]["by_length"])]
        body += [html_section(f"{split}: where it looked", *_attention(rows, shards, bundle))]
        for name in ("worst", "best"):
            some = [_photo(photos[key], shards) for key in told[split][name][:SHOWN]]
            body += [html_section(f"{split}: the {name}", *some)]
    sources = (bundle, shards, *captions, *scores)
    body += [html_section("Corpus", as_json(corpus)), run_section(run.facts, bundle, dict(page.settings), sources)]
    numbers: Row = {"title": page.title, "scores": told, "corpus": corpus, "run": dict(run.facts)}
    return put_page(page.title, body, {"report.json": numbers} | {f"{s}.json": _listed(r) for s, r in said.items()})


def _listed(rows: list[Row]) -> list[Row]:
    names = ("key", "source", "text", "score", "truncated", "hypotheses", "references")
    return [{name: row[name] for name in names} for row in rows]


def _numbers(told: dict[str, Row]) -> Markup:
    cards, rows = [], []
    for split, one in told.items():
        more = f"BLEU-1 {one['bleu_1']:.1f}; CIDEr-D {one['cider_d']:.3f}; METEOR {one['meteor']:.3f}"
        cards.append((f"BLEU-4, {split}", f"{one['bleu_4']:.2f}", more))
        scores = [f"{one[f'bleu_{order}']:.2f}" for order in range(1, 5)]
        scores += [f"{one['cider_d']:.3f}", f"{one['meteor']:.3f}", f"{one['sacrebleu']:.2f}", f"{one['chrf']:.2f}"]
        novel = f"{one['novelty']:.1%}" if "novelty" in one else "not known"
        counts = [f"{one['exact']:.1%}", novel, f"{one['distinct']:.1%}", str(one["vocabulary"])]
        rows.append([split, *scores, *counts, f"{one['words']:.1f}", str(one["photos"]), str(one["truncated"])])
    heads = ("split", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr-D", "METEOR", "sacreBLEU", "chrF", "exact")
    heads += ("novel", "different", "words used", "words a caption", "photos", "cut")
    first = next(iter(told.values()))
    signed = SIGNED.format(first["sacrebleu_signature"], first["chrf_signature"])
    table = Markup('<div class="scroll">{}</div>').format(html_table(heads, rows))
    return join_html((html_cards(cards), table, COLUMNS, signed))


def _looked(told: dict[str, Row]) -> Markup:
    """Of the splits whose photos have boxes."""
    found = [(split, one["looked"]) for split, one in told.items() if one["looked"]]
    rows = [[split, one["words"], percent(one["share"]), percent(one["area"])] for split, one in found]
    table = data_table(("split", "named objects", "attention in their boxes", "area of these"), rows)
    return html_section("Does it look at what it names", Markup('<div class="scroll">{}</div>').format(table))


def _length(split: str, rows: list[Row]) -> Markup:
    cells = [
        [f"up to {row['words']}" if row["words"] else "more", row["photos"], row["bleu_4"], row["cider_d"]]
        for row in rows
    ]
    table = data_table(("words of the references", "photos", "BLEU-4", "CIDEr-D"), cells)
    return html_section(f"{split}: by length", table)


def _attention(rows: list[Row], shards: Artifact, bundle: Artifact) -> list[Markup]:
    """Some photos, evenly from all, with what was looked at for each word."""
    sight, seeing = read_sight(bundle), [row for row in rows if row["attention"]]
    if not seeing or sight is None:
        return [Markup("<p>This model sees the whole photo at once.</p>")]
    some = seeing[:: max(1, len(seeing) // LOOKED)][:LOOKED]
    return [attention_strip(shards, row["key"], _words(row), sight[0]) for row in some]


def _words(row: Row) -> list[tuple[str, np.ndarray]]:
    """The tokens of a caption and the attention (rows, columns) for each."""
    looked = np.asarray(row["attention"])
    side = math.isqrt(looked.shape[1])
    return list(zip(row["tokens"], looked.reshape(-1, side, side), strict=True))


def _photo(row: Row, shards: Artifact) -> Markup:
    """A photo with its captions, and what they might have been."""
    item = Markup('<li dir="auto">{} <small>{:.2f}</small></li>')
    others = join_html(item.format(one["text"], one["score"]) for one in row["hypotheses"][1:])
    truth = join_html(Markup('<li dir="auto">{}</li>').format(text) for text in row["references"])
    return Markup(
        '<article class="photo">{}<div><p dir="auto"><b>{}</b></p><ul>{}</ul><details><summary>n-best</summary><ul>{}'
        "</ul></details><small><code>{}</code></small></div></article>"
    ).format(html_photo(preview_photo(shards, row["key"]), row["source"]), row["text"], truth, others, row["source"])
