"""A checkpoint is a bundle: weights with all that is needed to use them, every file by its digest.

model.json (architecture, options, sizes), weights.pt, tokenizer.json, features.json (front end and normaliser),
decode.json (beam), training.json (history and configs), golden.json with golden.npz (utterances and what the bundle
said of them when it was made), quarantine.parquet (training utterances that were left out).
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra import storage
from infra.problem import Problem
from infra.store import Artifact, at, draft
from models.interface import Beam, Model, Padded, build, describe
from tasks.checkpoints import Weights, from_bytes, to_bytes
from tasks.features import FrontEnd, Normaliser, stack
from tasks.tokenizer import FILE, MODEL, TextTokenizer, load_tokenizer

GOLDEN = 3
SCORE_TOLERANCE = 0.05  # nats: other processors round otherwise


@dataclass(frozen=True)
class Bundle:
    """A model ready to use."""

    model: Model
    tokenizer: TextTokenizer
    front_end: FrontEnd
    normaliser: Normaliser
    beam: Beam


@dataclass(frozen=True)
class Contents:
    """What `write_bundle` puts together. golden: stored frames (T, D) float16 by key."""

    config: Any
    sizes: tuple[int, int]
    weights: Weights
    tokenizer: Artifact
    front_end: FrontEnd
    normaliser: Normaliser
    beam: Beam
    training: dict[str, Any]
    golden: dict[str, np.ndarray]
    quarantine: bytes


def write_bundle(contents: Contents) -> Artifact:
    model = contents.config.build(*contents.sizes)
    model.load_state_dict(contents.weights)
    tokenizer = load_tokenizer(contents.tokenizer)
    bundle = Bundle(model.eval(), tokenizer, contents.front_end, contents.normaliser, contents.beam)
    source_size, target_size = contents.sizes
    with draft("bundle") as out:
        out.put("weights.pt", to_bytes(contents.weights))
        out.put_json("model.json", describe(contents.config) | {"source_size": source_size, "target_size": target_size})
        for name in contents.tokenizer.names():
            out.put(name, contents.tokenizer.read(name))
        normaliser = asdict(contents.normaliser)
        out.put_json("features.json", {"front_end": asdict(contents.front_end), "normaliser": normaliser})
        out.put_json("decode.json", asdict(contents.beam))
        out.put_json("training.json", contents.training)
        out.put("quarantine.parquet", contents.quarantine)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(contents.golden)
        np.savez(buffer, **arrays)
        out.put("golden.npz", buffer.getvalue())
        out.put_json("golden.json", said_of(bundle, contents.golden))
    return out.result()


def load_bundle(artifact: Artifact) -> Bundle:
    """The model in evaluation mode with its companions. Raises Problem naming what does not fit."""
    for name, entry in artifact.manifest()["files"].items():
        if hashlib.sha256(artifact.read(name)).hexdigest() != entry["sha256"]:
            raise Problem(f"{artifact.uri}/{name} is not the file that was stored (SHA-256 differs); restore it")
    spec, features = artifact.read_json("model.json"), artifact.read_json("features.json")
    tokenizer = load_tokenizer(artifact)
    if spec["target_size"] != len(tokenizer):
        raise Problem(f"{artifact.uri}: the model has {spec['target_size']} tokens, {FILE} has {len(tokenizer)}")
    model = build(**spec)
    model.load_state_dict(from_bytes(artifact.read("weights.pt")))
    told = features["normaliser"]
    normaliser = Normaliser(told["kind"], tuple(told["mean"]), tuple(told["deviation"]))
    beam = Beam(**artifact.read_json("decode.json"))
    return Bundle(model.eval(), tokenizer, FrontEnd(**features["front_end"]), normaliser, beam)


def replay(artifact: Artifact) -> None:
    """Raises Problem unless the bundle says of its golden utterances what it said when it was made."""
    expected = artifact.read_json("golden.json")
    with np.load(io.BytesIO(artifact.read("golden.npz")), allow_pickle=False) as golden:
        found = said_of(load_bundle(artifact), dict(golden))
    for key, told in expected.items():
        same = found[key]["text"] == told["text"] and abs(found[key]["score"] - told["score"]) < SCORE_TOLERANCE
        if not same:
            raise Problem(f"{artifact.uri}: golden utterance {key} now reads {found[key]}, expected {told}")


@torch.no_grad()
def said_of(bundle: Bundle, golden: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Greedy text and score for each utterance."""
    said = {}
    for key, raw in golden.items():
        frames = bundle.normaliser(raw)
        source = Padded(stack([frames]), torch.tensor([len(frames)]))
        best = bundle.model.search(source, Beam(width=1, max_length=10_000))[0][0]
        said[key] = {"text": bundle.tokenizer.decode(best.tokens), "score": round(best.score, 4)}
    return said


def tokenizer_of(bundle: Artifact) -> Artifact:
    """The bundle's tokenizer as an artifact of its own: the same digest as the one it was made with."""
    with draft("tokenizer") as out:
        for name in (FILE, MODEL):
            if name in bundle.names():
                out.put(name, bundle.read(name))
    return out.result()


def adopt(place: str) -> Artifact:
    """A bundle at any path or URI as an artifact of this store, copied there if it is not."""
    found = at(place)
    if found.kind != "bundle":
        raise Problem(f"{place} holds {found.kind}, not a bundle")
    if storage.entry(storage.join(found.uri, "manifest.json")):
        return found
    files = json.loads(storage.read(storage.join(place, "manifest.json")))["files"]
    with draft("bundle") as out:
        for name in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise Problem(f"{place}/manifest.json names a file outside the bundle: {name}")
            out.put(name, storage.read(storage.join(place, name)))
    if out.result() != found:
        raise Problem(f"{place}: the files are not those that its manifest.json was written for; fetch it again")
    return found
