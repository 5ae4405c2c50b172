"""Utterances on a page: the clip, the text, and what the model offers to look at."""

import math
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
from tasks.features.front_end import FrontEnd, extract_frames
from tasks.ingest.shard_index import read_index
from tasks.reports.html_page import html_figure
from tasks.reports.plots.plot_utterance import LatticePanel, UtterancePanels, plot_utterance
from tasks.reports.sample_preview import render_sample
from tasks.steps.parquet_parts import read_parts

SHOWN = 10
HERTZ = (250, 1000, 2000, 4000, 8000)  # that an axis names
LOOKED_AT: dict[str, Any] = {"kind": "log_mel", "mels": 40, "normalize": "none"}
MEANINGS = {
    "posteriors": "posteriors and tokens",
    "attention": "attention, a row for each token",
    "lattice": "the lattice of frames and tokens with its best path",
}
LEGENDS = {
    "frames": "Features: the brighter, the larger.",
    "posteriors": "Probability: gray is blank, a line a token; those of the best hypothesis stand over their time.",
    "attention": "Attention: the darker, the more of it a token of the best hypothesis gives to that time.",
    "lattice": "Lattice: the darker, the more probable that an alignment passes there (powers of ten, from one in a"
    " million); red is the best one, with a dot where it emits a token.",
}


@dataclass(frozen=True)
class UtteranceOutput:
    """A bundle, and the transcripts that it made of the features, adapted or not."""

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: Artifact
    adapt: AdaptationConfig


def utterance_articles(heard: UtteranceOutput, split: str) -> list[Markup]:
    """How to read them, and an article for each of ten: every k-th of the split, from the worst read to the best."""
    rows = read_parts(heard.transcripts)
    rows.sort(key=lambda r: (r["text"] == r["reference"], -len(r["reference"]), r["key"]))
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).astype(int))]
    bundle, index = load_bundle(heard.bundle), read_index(heard.features, split)
    places = {key: i for i, key in enumerate(index["key"].to_pylist())}
    utterances = UtteranceDataset(heard.features, index, bundle.normalizer)
    speakers = speakers_to_adapt(heard.adapt, bundle.model, (heard.features, split), bundle.normalizer)
    articles, legend = [], ""
    for row in chosen:
        with speakers.heard(row["speaker"]) if speakers else nullcontext():
            look = build_panels(bundle, utterances.read(places[row["key"]])[0], row)
        articles.append(_article(heard.shards, look, row))
        legend = " ".join(told for name, told in LEGENDS.items() if getattr(look, name) is not None)
    return [Markup('<p class="note">{}</p>').format(legend), *articles]


@torch.inference_mode()
def build_panels(bundle: Bundle, stored: np.ndarray, row: dict[str, Any]) -> UtterancePanels:
    """What the bundle's model shows of stored frames (T, D) and its best hypothesis in a row of TRANSCRIPTS."""
    source, tokens = bundle.source(stored), row["hypotheses"][0]["tokens"]
    ids, hop = [token["id"] for token in tokens], bundle.front_end.hop_ms / 1000
    waveform = bundle.front_end.kind == "waveform"  # samples (T, hop), drawn as people look at them
    drawn = replace(bundle.front_end, **LOOKED_AT) if waveform else bundle.front_end
    return UtterancePanels(
        frames=extract_frames(_samples(stored), drawn.sample_rate, drawn) if waveform else source.data[0].numpy(),
        scale=feature_scale(drawn),
        seconds=len(stored) * hop,
        step_seconds=bundle.model.reduction * hop,
        tokens=tokens,
        posteriors=_posteriors(bundle, source),
        attention=_attention(bundle, source, ids),
        lattice=_lattice(bundle, source, ids),
    )


def _samples(stored: np.ndarray) -> np.ndarray:
    return stored.astype(np.float32).reshape(-1)


def feature_scale(front_end: FrontEnd) -> tuple[str, tuple[tuple[float, str], ...]]:
    """The axis of a front end's coefficients: its name, and where on it the frequencies lie."""
    top = front_end.high_hz or front_end.sample_rate / 2
    if front_end.kind == "log_mel":
        low, high = mel(front_end.low_hz), mel(top)
        # The first band is centered a step above the lowest frequency, and drawn from 0 to 1.
        places = {hz: (mel(hz) - low) / (high - low) * (front_end.mels + 1) - 0.5 for hz in HERTZ if hz <= top}
        return "mel band, Hz", tuple((place, f"{hz:,}") for hz, place in places.items() if place >= 0)
    if front_end.kind == "log_spectrogram":
        bin_hz = front_end.sample_rate / front_end.fft_size
        return "frequency, Hz", tuple((hz / bin_hz + 0.5, f"{hz:,}") for hz in HERTZ[1:] if hz <= top)
    return ("cepstral coefficient" if front_end.kind == "mfcc" else "coefficient"), ()


def mel(hz: float) -> float:
    """As torchaudio's filters are spaced: O'Shaughnessy, Speech Communication (1987), the scale of HTK."""
    return 2595 * math.log10(1 + hz / 700)


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


def _article(shards: Artifact, look: UtterancePanels, row: dict[str, Any]) -> Markup:
    shows = ["features", *(told for name, told in MEANINGS.items() if getattr(look, name) is not None)]
    drawn = html_figure(plot_utterance(look), f"{', '.join(shows)}, over time")
    return Markup(
        '<article><b dir="auto">{reference}</b><br>heard: <span dir="auto">{text}</span><br><small><code>{key}</code>'
        " {seconds:.2f} s{sure}, score {score:.2f}</small>{sample}{drawn}</article>"
    ).format(**row, sure=_confidence(row["confidence"]), sample=render_sample(shards, row["key"]), drawn=drawn)


def _confidence(value: float | None) -> str:
    """Nothing where a text has no words, or the search knows none."""
    return "" if value is None or math.isnan(value) else f", confidence {value:.2f}"
