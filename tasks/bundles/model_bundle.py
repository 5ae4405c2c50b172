"""A checkpoint is a bundle: weights with all that is needed to use them, every file by its digest.

model.json (architecture, options, sizes), weights.pt, tokenizer.json, features.json (front end and normalizer; null
where text is read), source/tokenizer.json (of what is read, where that is text and not what the model says),
decode.json (beam), training.json (history and configs), golden.json with golden.npz (sources and what the bundle said
of them when it was made), quarantine.parquet (training utterances that were left out); lm/ngram.bin, or
lm/model.json, weights.pt and tokenizer.json, and words.json where a search is given a language model and words
(tasks/bundles/add_decoding_resources.py).
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra import storage
from infra.artifact_store import Artifact, artifact_at, hash_files, new_draft
from infra.errors import UserError
from models.interface import Beam, Decoder, LanguageModel, Model, Padded, build, describe_config
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.search.language.vocab_mapped_lm import VocabMappedLM
from tasks.bundles.build_fusion_lm import build_fusion_lm, map_vocabulary
from tasks.bundles.earlier_config_names import read_renamed
from tasks.bundles.stored_beam import DECODE, beam_options, read_beam
from tasks.bundles.training_checkpoints import Weights, from_bytes, to_bytes
from tasks.features.front_end import CMVN, OF_WHOLE_UTTERANCES, FrontEnd
from tasks.ngram.binary_file import load_ngram
from tasks.text.tokenizer import (
    FILE,
    LABELS,
    MODEL,
    SOURCE,
    PrefixedFiles,
    TextTokenizer,
    load_source_tokenizer,
    load_tokenizer,
)

LM, WORDS = "lm/", "words.json"  # of a bundle; what begins with LM is of a language model
NGRAM = LM + "ngram.bin"
NEURAL = ("model.json", "weights.pt", FILE, MODEL)  # of the language model's own bundle, as far as it has them
GOLDEN = 3
GOLDEN_LENGTH = 1000  # tokens at most
SCORE_TOLERANCE = 0.05  # nats: other processors round otherwise


@dataclass(frozen=True)
class AudioConfig:
    """How sound becomes a source: the front end, and the normalizer that was fitted on the training split."""

    front_end: FrontEnd
    normalizer: CMVN


@dataclass(frozen=True)
class Bundle:
    """A model ready to use."""

    model: Model
    tokenizer: TextTokenizer
    sound: AudioConfig | None  # what its sources are made of, None where it reads text
    beam: Beam
    spelling: TextTokenizer | None = None  # of the texts that it reads, where they are not what it says
    lm: Decoder | None = None  # that its searches fuse, words included

    @property
    def front_end(self) -> FrontEnd:
        return self._heard.front_end

    @property
    def normalizer(self) -> CMVN:
        return self._heard.normalizer

    @property
    def _heard(self) -> AudioConfig:
        if self.sound is None:
            raise UserError("this bundle holds a model that reads text and has no ear: give one that heard recordings")
        return self.sound

    def source(self, stored: np.ndarray) -> Padded:
        """Stored frames (T, D), or the tokens (T,) of a text, as the model's source."""
        return Padded.stack([torch.from_numpy(self.normalizer(stored) if self.sound else stored.astype(np.int64))])


@dataclass(frozen=True)
class BundleContents:
    """What `write_bundle` puts together. golden: stored frames (T, D) float16, or token ids (T,), by key."""

    config: Any
    sizes: tuple[int, int]
    weights: Weights
    tokenizer: Artifact
    sound: AudioConfig | None
    beam: Beam
    training: dict[str, Any]
    golden: dict[str, np.ndarray]
    quarantine: bytes = b""  # Parquet, empty for none


def write_bundle(contents: BundleContents) -> Artifact:
    model = contents.config.build(*contents.sizes)
    model.load_state_dict(contents.weights)
    tokenizer = load_tokenizer(contents.tokenizer)
    bundle = Bundle(model.eval(), tokenizer, contents.sound, contents.beam)
    source_size, target_size = contents.sizes
    with new_draft("bundle") as out:
        out.put("weights.pt", to_bytes(contents.weights))
        out.put_json(
            "model.json", describe_config(contents.config) | {"source_size": source_size, "target_size": target_size}
        )
        for name in contents.tokenizer.names():
            out.put(name, contents.tokenizer.read(name))
        out.put_json("features.json", contents.sound and asdict(contents.sound))
        out.put_json(DECODE, beam_options(contents.beam))
        out.put_json("training.json", contents.training)
        if contents.quarantine:
            out.put("quarantine.parquet", contents.quarantine)
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(contents.golden)
        np.savez(buffer, **arrays)
        out.put("golden.npz", buffer.getvalue())
        out.put_json("golden.json", model_outputs(bundle, contents.golden))
    return out.result()


def load_bundle(artifact: Artifact) -> Bundle:
    """The model in evaluation mode with its companions. Raises UserError naming what does not fit."""
    for name, entry in artifact.manifest()["files"].items():
        if hashlib.sha256(artifact.read(name)).hexdigest() != entry["sha256"]:
            raise UserError(f"{artifact.uri}/{name} is not the file that was stored (SHA-256 differs); restore it")
    spec, features = read_renamed(artifact, "model.json"), read_renamed(artifact, "features.json")
    tokenizer = load_tokenizer(artifact)
    if spec["target_size"] != len(tokenizer):
        raise UserError(f"{artifact.uri}: the model has {spec['target_size']} tokens, {FILE} has {len(tokenizer)}")
    spelling = load_source_tokenizer(artifact)
    if spelling and spec["source_size"] != len(spelling):
        told = f"{spec['source_size']} source tokens, {SOURCE}{FILE} has {len(spelling)}"
        raise UserError(f"{artifact.uri}: the model has {told}")
    model = _model(artifact)
    beam = read_beam(artifact)
    return Bundle(model, tokenizer, features and _sound_of(features), beam, spelling, _fused(artifact, tokenizer))


def load_in_actor(artifact: Artifact) -> tuple[Bundle, torch.device]:
    """The bundle in an actor, which has one core, and perhaps a GPU that the model is put on."""
    torch.set_num_threads(1)
    return load_on_device(artifact)


def load_on_device(artifact: Artifact) -> tuple[Bundle, torch.device]:
    """The bundle, its model on a GPU where there is one."""
    bundle, device = load_bundle(artifact), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bundle.model.to(device)
    fused_model = bundle.lm.tokens if isinstance(bundle.lm, LexiconAndHotwords) else bundle.lm
    if isinstance(fused_model, VocabMappedLM):
        fused_model.to(device)
    return bundle, device


def _model(artifact: Artifact, prefix: str = "") -> Model:
    spec = read_renamed(artifact, f"{prefix}model.json")
    try:
        model = build(**spec)
        model.load_state_dict(from_bytes(artifact.read(f"{prefix}weights.pt")))
    except (TypeError, RuntimeError) as error:  # other options, other weights
        told = f"{prefix}weights.pt is of another version of {spec['architecture']}"
        raise UserError(f"{artifact.uri}: {told}; use the version that made it, or train again") from error
    return model.eval()


def _fused(artifact: Artifact, tokenizer: TextTokenizer) -> Decoder | None:
    names, lm = artifact.names(), None
    if NGRAM in names:
        lm = load_ngram(artifact.file(NGRAM))
    elif LM + "model.json" in names:
        lm = map_vocabulary(tokenizer, _model(artifact, LM), load_tokenizer(PrefixedFiles(artifact, LM)))
    elif WORDS not in names:
        return None
    return build_fusion_lm(tokenizer, lm, **(artifact.read_json(WORDS) if WORDS in names else {}))


def _sound_of(told: dict[str, Any]) -> AudioConfig:
    known = told["normalizer"]
    limits = {name: known[name] for name in OF_WHOLE_UTTERANCES if name in known}
    normalizer = CMVN(known["kind"], tuple(known["mean"]), tuple(known["deviation"]), **limits)
    return AudioConfig(FrontEnd(**told["front_end"]), normalizer)


def check_golden_outputs(artifact: Artifact, beam: Beam | None = None) -> None:
    """Raises UserError unless the bundle says of its golden utterances what it said when it was made.

    beam: one that is to be used, and is refused here where the model's search or what the bundle holds does not go with
    it.
    """
    expected, bundle = artifact.read_json("golden.json"), load_bundle(artifact)
    with np.load(io.BytesIO(artifact.read("golden.npz")), allow_pickle=False) as golden:
        found, some = model_outputs(bundle, dict(golden)), list(golden.values())[:1]
    for key, told in expected.items():
        same = found[key]["text"] == told["text"] and abs(found[key]["score"] - told["score"]) < SCORE_TOLERANCE
        if not same:
            raise UserError(f"{artifact.uri}: golden utterance {key} now reads {found[key]}, expected {told}")
    if beam and some:
        try:
            bundle.model.search(bundle.source(some[0]), beam, bundle.lm)
        except ValueError as error:
            raise UserError(f"{artifact}: {error}") from error


@torch.no_grad()
def model_outputs(bundle: Bundle, golden: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """For each source the best transcript or label and its score; of a language model, for each text what was expected
    at each token instead of the next one, and the log-probability of the text.
    """
    said = {}
    for key, stored in golden.items():
        if not isinstance(bundle.model, LanguageModel):
            best = bundle.model.search(bundle.source(stored), Beam(width=1, max_length=GOLDEN_LENGTH))[0][0]
            tokens, score = best.tokens, best.score
        else:
            ids = torch.from_numpy(stored.astype(np.int64))[None]
            log_probs = bundle.model.predict(Padded.stack([ids[0, :-1]]), None)[0].data
            tokens = log_probs.argmax(-1)[0].tolist()
            score = float(log_probs.gather(-1, ids[:, 1:, None]).sum())
        said[key] = {"text": bundle.tokenizer.decode(tokens), "score": round(score, 4)}
    return said


def bundle_tokenizer(bundle: Artifact) -> Artifact:
    """The bundle's tokenizer, or vocabularies, as an artifact of its own: with the digest it had when it was made."""
    with new_draft("vocabularies" if is_classifier(bundle) else "tokenizer") as out:
        for name in (FILE, MODEL, SOURCE + FILE, SOURCE + MODEL):
            if name in bundle.names():
                out.put(name, bundle.read(name))
    return out.result()


def bundle_front_end(bundle: Artifact) -> FrontEnd | None:
    """What its sources are made with, None where it reads text."""
    sound = read_renamed(bundle, "features.json")
    return FrontEnd(**sound["front_end"]) if sound else None


def lm_architecture(bundle: Artifact) -> str:
    """The same of the neural language model that its search fuses; "" where there is none."""
    name = LM + "model.json"
    return read_renamed(bundle, name)["architecture"] if name in bundle.names() else ""


def model_architecture(bundle: Artifact) -> str:
    """The file in models/ that its model is of."""
    return read_renamed(bundle, "model.json")["architecture"]


def is_classifier(bundle: Artifact) -> bool:
    return bundle.read_json(FILE)["kind"] == LABELS


def import_model(place: str, kinds: Sequence[str] = ("bundle",)) -> Artifact:
    """A model at any path or URI as an artifact of this store, copied there if it is not.

    Raises UserError where a file is not the one that its manifest was written for, whatever this store holds.
    """
    found = artifact_at(place)
    if found.kind not in kinds:
        raise UserError(f"{place} holds {found.kind}, not a {' or a '.join(kinds)}")
    if place == found.uri:
        return found  # the store's own, which is looked at when it is loaded
    files = json.loads(storage.read(storage.join(place, "manifest.json")))["files"]
    if hash_files(files) != found.digest:
        raise UserError(f"{place}/manifest.json was changed: its digest is not that of the files it lists")
    for name, told in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(f"{place}/manifest.json names a file outside the bundle: {name}")
        if hashlib.sha256(storage.read(storage.join(place, name))).hexdigest() != told["sha256"]:
            raise UserError(f"{place}/{name} is not the file that its manifest.json lists (SHA-256 differs)")
    if not found.exists():
        with new_draft(found.kind) as out:
            for name in files:
                out.put(name, storage.read(storage.join(place, name)) if storage.is_s3(place) else Path(place, name))
    return found
