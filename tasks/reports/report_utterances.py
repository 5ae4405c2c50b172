"""Utterances on a page: the clip, the text, and what the model offers to look at."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from markupsafe import Markup

from infra.artifact_store import Artifact
from models.interface import Decoder, EmissionModel, Padded, Transducer
from models.search.attention.teacher_forced_attention import teacher_forced_attention
from models.search.transducer.forced_alignment import best_path, cell_occupancy, compute_lattice
from tasks.batches.batch_loader import UtteranceDataset
from tasks.bundles.model_bundle import Bundle, load_bundle
from tasks.bundles.speaker_batch_norm import AdaptationConfig, speakers_to_adapt
from tasks.features.front_end import extract_frames
from tasks.ingest.shard_index import read_index
from tasks.reports.html_page import html_image
from tasks.reports.plot_utterance import LatticePanel, UtterancePanels, plot_utterance
from tasks.reports.sample_preview import render_sample
from tasks.steps.parquet_parts import read_parts

SHOWN = 10
MEANINGS = {
    "posteriors": "posteriors and tokens",
    "attention": "attention, a row for each token",
    "lattice": "the lattice of frames and tokens with its best path",
}


@dataclass(frozen=True)
class UtteranceOutput:
    """A bundle, and the transcripts that it made of the features, adapted or not."""

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: Artifact
    adapt: AdaptationConfig


def utterance_sections(heard: UtteranceOutput, split: str) -> list[Markup]:
    """A section for each of ten utterances: every k-th of the split, from the worst read to the best."""
    rows = read_parts(heard.transcripts)
    rows.sort(key=lambda r: (r["text"] == r["reference"], -len(r["reference"]), r["key"]))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    bundle, index = load_bundle(heard.bundle), read_index(heard.features, split)
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    utterances = UtteranceDataset(heard.features, index, bundle.normalizer)
    speakers = speakers_to_adapt(heard.adapt, bundle.model, (heard.features, split), bundle.normalizer)
    sections = []
    for row in chosen:
        with speakers.heard(row["speaker"]) if speakers else nullcontext():
            look = build_panels(bundle, utterances.read(places[row["key"]])[0], row)
        sections.append(_section(heard.shards, look, row))
    return sections


@torch.inference_mode()
def build_panels(bundle: Bundle, stored: np.ndarray, row: dict[str, Any]) -> UtterancePanels:
    """What the bundle's model shows of stored frames (T, D) and its best hypothesis in a row of TRANSCRIPTS."""
    source, tokens = bundle.source(stored), row["hypotheses"][0]["tokens"]
    ids, hop = [token["id"] for token in tokens], bundle.front_end.hop_ms / 1000
    return UtterancePanels(
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
    drawn = replace(bundle.front_end, kind="log_mel", mels=40, normalize="none")
    return extract_frames(samples.astype(np.float32).reshape(-1), drawn.sample_rate, drawn)


def _posteriors(bundle: Bundle, source: Padded) -> np.ndarray | None:
    if not isinstance(bundle.model, EmissionModel):
        return None
    return bundle.model.emit(source).data[0].exp().numpy()


def _attention(bundle: Bundle, source: Padded, ids: list[int]) -> np.ndarray | None:
    rows = teacher_forced_attention(bundle.model, source, ids) if isinstance(bundle.model, Decoder) else None
    return None if rows is None else rows.numpy()


def _lattice(bundle: Bundle, source: Padded, ids: list[int]) -> LatticePanel | None:
    if not isinstance(bundle.model, Transducer):
        return None
    lattice = compute_lattice(bundle.model, source, ids)
    return LatticePanel(cell_occupancy(lattice).numpy(), best_path(lattice))


def _section(shards: Artifact, look: UtterancePanels, row: dict[str, Any]) -> Markup:
    shows = ["features", *(told for name, told in MEANINGS.items() if getattr(look, name) is not None)]
    drawn = html_image(plot_utterance(look), f"{', '.join(shows)}, over time")
    return Markup(
        "<section><b dir=auto>{reference}</b><br>heard: <span dir=auto>{text}</span><br><small><code>{key}</code>"
        " {seconds:.2f} s, confidence {confidence:.2f}, score {score:.2f}</small>{sample}{drawn}</section>"
    ).format(**row, sample=render_sample(shards, row["key"]), drawn=drawn)
