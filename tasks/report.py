"""Scores to a self-contained HTML page: numbers, learning curve, and utterances to look at and to play."""

import html
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from infra.store import Artifact, draft
from models.interface import Emitter, Padded
from tasks.augment import Augment
from tasks.batches import Utterances
from tasks.bundle import Bundle, load_bundle
from tasks.decode import read_transcripts
from tasks.draw import learning_curve, utterance_picture
from tasks.featurize import index_of
from tasks.page import image, whole_page
from tasks.samples import shown
from tasks.step import step

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Page:
    """title: what the page is about. architecture: of the model, whose code is part of the task's key."""

    title: str
    architecture: str
    splits: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@dataclass(frozen=True)
class Material:
    """What a page is made of; transcripts and scores one for each of its splits."""

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: tuple[Artifact, ...]
    scores: tuple[Artifact, ...]


@step
def report(material: Material, page: Page) -> Artifact:
    """`report.html`, and `report.json` with the same numbers."""
    training = material.bundle.read_json("training.json")
    scores = {s: a.read_json("scores.json") for s, a in zip(page.splits, material.scores, strict=True)}
    corpus = material.shards.read_json("summary.json")
    main = page.splits[0]
    body = [
        _numbers(scores),
        "<h2>Learning curve</h2>",
        image(learning_curve(training["history"]), "loss and dev error rates by epoch"),
        "<h2>Corpus</h2>",
        _corpus(corpus, material),
    ]
    for split, told in scores.items():
        body += [f"<h2>{html.escape(split)}: by length and speaker</h2>"]
        body += [_breakdown(told["by_seconds"]), _breakdown(told["by_speaker"])]
        body += [f"<h2>{html.escape(split)}: worst utterances</h2>", _worst(told["worst"])]
    body += [f"<h2>{html.escape(main)}: what the model heard, and when</h2>"]
    body += _utterances(material, main)
    with draft("report") as out:
        out.put("report.html", whole_page(page.title, body))
        out.put_json("report.json", {"title": page.title, "scores": scores, "corpus": corpus})
    return out.result()


def _numbers(scores: dict[str, Any]) -> str:
    rows = []
    for split, s in scores.items():
        low, high = s["wer_interval"]
        w = s["words"]
        rows.append(
            f"<tr><td>{html.escape(split)}<td class='n big'>{s['wer']:.2%}<td class=n>{low:.2%} to {high:.2%}"
            f"<td class=n>{s['cer']:.2%}<td class=n>{w['substitutions']}<td class=n>{w['deletions']}"
            f"<td class=n>{w['insertions']}<td class=n>{w['reference']}<td class=n>{s['utterances']}"
            f"<td class=n>{s['seconds'] / 60:.1f}"
        )
    names = ("split", "WER", "95 % interval", "CER", "substitutions", "deletions", "insertions")
    names += ("words", "utterances", "minutes")
    return f"<table><tr>{''.join(f'<th>{n}' for n in names)}</tr>{''.join(rows)}</table>"


def _corpus(summary: dict[str, Any], material: Material) -> str:
    sources = {"shards": material.shards, "features": material.features, "bundle": material.bundle}
    rows = [f"<tr><th>{name}<td><code>{artifact.digest}</code>" for name, artifact in sources.items()]
    left = len(pq.read_table(material.features.file("quarantine.parquet"), columns=["source"]))
    rows.append(f"<tr><th>left out for their text<td>{left}")
    told = html.escape(json.dumps(summary, indent=1, ensure_ascii=False))
    return f"<table>{''.join(rows)}</table><details><summary>Ingest in numbers</summary><pre>{told}</pre></details>"


def _breakdown(rows: list[dict[str, Any]]) -> str:
    ranked = rows if len(rows) <= 40 else sorted(rows, key=lambda r: -r["wer"])[:40]
    lines = [
        f"<tr><td><code>{html.escape(r['group'][:24])}</code><td class=n>{r['wer']:.1%}<td class=n>{r['words']}"
        f"<td class=n>{r['utterances']}"
        for r in ranked
    ]
    return f"<table><tr><th>group<th>WER<th>words<th>utterances</tr>{''.join(lines)}</table>"


def _worst(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"<tr><td class=n>{r['errors']}<td dir=auto>{html.escape(r['reference'])}<td dir=auto>{html.escape(r['text'])}"
        f"<td><code>{html.escape(r['key'])}</code>"
        for r in rows
    ]
    return f"<table><tr><th>errors<th>spoken<th>heard<th>utterance</tr>{''.join(lines)}</table>"


def _utterances(material: Material, split: str) -> list[str]:
    """A section for each of ten utterances: every k-th of the split, from the worst read to the best."""
    rows = read_transcripts(material.transcripts[0]).to_pylist()
    rows.sort(key=lambda r: (r["text"] == r["reference"], -len(r["reference"]), r["key"]))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    bundle, index = load_bundle(material.bundle), index_of(material.features, split)
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    utterances = Utterances(material.features, index, bundle.normaliser, Augment(), 0)
    return [_utterance(material, bundle, utterances, places[row["key"]], row) for row in chosen]


def _utterance(material: Material, bundle: Bundle, utterances: Utterances, place: int, row: dict[str, Any]) -> str:
    source = bundle.source(utterances.read(place)[0])
    frames, posteriors = source.data[0].numpy(), _posteriors(bundle, source)
    seconds = len(frames) * bundle.front_end.hop_ms / 1000
    tokens = row["hypotheses"][0]["tokens"]
    picture = utterance_picture(frames, posteriors, tokens, seconds)
    heading = f"<b dir=auto>{html.escape(row['reference'])}</b><br>heard: <span dir=auto>{html.escape(row['text'])}"
    sure = f"confidence {row['confidence']:.2f}, score {row['score']:.2f}"
    note = f"<br><small><code>{html.escape(row['key'])}</code> {row['seconds']:.2f} s, {sure}</small>"
    drawn = image(picture, "features, posteriors and tokens over time")
    return f"<section>{heading}</span>{note}{shown(material.shards, row['key'])}{drawn}</section>"


@torch.inference_mode()
def _posteriors(bundle: Bundle, source: Padded) -> np.ndarray | None:
    """(T, V) probabilities, None for a model that does not emit a distribution a step."""
    if not isinstance(bundle.model, Emitter):
        return None
    return bundle.model.emit(source).data[0].exp().numpy()
