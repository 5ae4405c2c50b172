"""Utterances on a page: the clip, the text, and what the model offers to look at."""

import html
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from infra.store import Artifact
from models.interface import Decoder, Emitter, Padded, Transducer
from models.search.attended import attended
from models.search.transducer_lattice import best_path, lattice_of, occupancy
from tasks.adapt import Adaptation, speakers_of
from tasks.batches import Utterances
from tasks.bundle import Bundle, load_bundle
from tasks.draw_utterance import Lattice, Look, utterance_picture
from tasks.features import extract
from tasks.featurize import index_of
from tasks.page import image
from tasks.parts import rows_of_parts
from tasks.samples import shown

SHOWN = 10
MEANINGS = {
    "posteriors": "posteriors and tokens",
    "attention": "attention, a row for each token",
    "lattice": "the lattice of frames and tokens with its best path",
}


@dataclass(frozen=True)
class Heard:
    """A bundle, and the transcripts that it made of the features, adapted or not."""

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: Artifact
    adapt: Adaptation


def utterance_sections(heard: Heard, split: str) -> list[str]:
    """A section for each of ten utterances: every k-th of the split, from the worst read to the best."""
    rows = rows_of_parts(heard.transcripts)
    rows.sort(key=lambda r: (r["text"] == r["reference"], -len(r["reference"]), r["key"]))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    bundle, index = load_bundle(heard.bundle), index_of(heard.features, split)
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    utterances = Utterances(heard.features, index, bundle.normaliser)
    speakers = speakers_of(heard.adapt, bundle.model, (heard.features, split), bundle.normaliser)
    sections = []
    for row in chosen:
        with speakers.heard(row["speaker"]) if speakers else nullcontext():
            look = look_at(bundle, utterances.read(places[row["key"]])[0], row)
        sections.append(_section(heard.shards, look, row))
    return sections


@torch.inference_mode()
def look_at(bundle: Bundle, stored: np.ndarray, row: dict[str, Any]) -> Look:
    """What the bundle's model shows of stored frames (T, D) and its best hypothesis in a row of TRANSCRIPTS."""
    source, tokens = bundle.source(stored), row["hypotheses"][0]["tokens"]
    ids, hop = [token["id"] for token in tokens], bundle.front_end.hop_ms / 1000
    return Look(
        frames=_spectrum(stored, bundle) if bundle.front_end.kind == "waveform" else source.data[0].numpy(),
        seconds=len(stored) * hop,
        step_seconds=bundle.model.reduction * hop,
        tokens=tokens,
        posteriors=_posteriors(bundle, source),
        attention=_attention(bundle, source, ids),
        lattice=_lattice(bundle, source, ids),
    )


def _spectrum(samples: np.ndarray, bundle: Bundle) -> np.ndarray:
    """How people look at samples (T, hop)."""
    drawn = replace(bundle.front_end, kind="log_mel", mels=40, normalise="none")
    return extract(samples.astype(np.float32).reshape(-1), drawn.sample_rate, drawn)


def _posteriors(bundle: Bundle, source: Padded) -> np.ndarray | None:
    if not isinstance(bundle.model, Emitter):
        return None
    return bundle.model.emit(source).data[0].exp().numpy()


def _attention(bundle: Bundle, source: Padded, ids: list[int]) -> np.ndarray | None:
    rows = attended(bundle.model, source, ids) if isinstance(bundle.model, Decoder) else None
    return None if rows is None else rows.numpy()


def _lattice(bundle: Bundle, source: Padded, ids: list[int]) -> Lattice | None:
    if not isinstance(bundle.model, Transducer):
        return None
    lattice = lattice_of(bundle.model, source, ids)
    return Lattice(occupancy(lattice).numpy(), best_path(lattice))


def _section(shards: Artifact, look: Look, row: dict[str, Any]) -> str:
    heading = f"<b dir=auto>{html.escape(row['reference'])}</b><br>heard: <span dir=auto>{html.escape(row['text'])}"
    sure = f"confidence {row['confidence']:.2f}, score {row['score']:.2f}"
    note = f"<br><small><code>{html.escape(row['key'])}</code> {row['seconds']:.2f} s, {sure}</small>"
    shows = ["features", *(told for name, told in MEANINGS.items() if getattr(look, name) is not None)]
    drawn = image(utterance_picture(look), f"{', '.join(shows)}, over time")
    return f"<section>{heading}</span>{note}{shown(shards, row['key'])}{drawn}</section>"
