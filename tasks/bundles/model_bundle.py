"""A checkpoint is a bundle: weights with all that is needed to use them, every file by its digest.

model.json (architecture, options, sizes), weights.pt, tokenizer.json, features.json (front end and normalizer, or
image front end, whose weights are in backbone/; null where text is read), source/tokenizer.json (of what is read, where
that is text and not what the model says), decode.json (beam), training.json (history and configs), golden.json with
golden.npz (sources and what the bundle said of them when it was made), quarantine.parquet (training utterances that
were left out); lm/ngram.bin, or lm/model.json, weights.pt and tokenizer.json, and words.json where a search is given a
language model and words (tasks/bundles/add_decoding_resources.py).
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infra import storage
from infra.artifact_store import Artifact, new_draft
from infra.artifacts.manifest import read_manifest, verify_files
from infra.errors import UserError, explain_bad_file
from models.interface import Beam, Decoder, LanguageModel, Model, Padded
from models.registry import describe_config
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.search.language.vocab_mapped_lm import VocabMappedLM
from tasks.bundles.bundle_files import (
    BACKBONE,
    DECODING,
    FEATURES,
    IMAGE_FRONT_END,
    LM,
    SPEC,
    beam_options,
    read_arrays,
    read_beam,
    read_object,
    read_sight,
    read_sound,
    read_spec,
)
from tasks.bundles.bundle_networks import read_fusion_lm, read_model
from tasks.bundles.training_checkpoints import Weights, to_bytes
from tasks.features.backbone_weights import WEIGHTS, store_backbone, stored_backbone
from tasks.features.front_end import CMVN, FrontEnd, feature_size
from tasks.features.image_front_end import ImageFrontEnd
from tasks.text.tokenizer import (
    FILE,
    LABELS,
    MODEL,
    SOURCE,
    TextTokenizer,
    load_source_tokenizer,
    load_tokenizer,
)

NEURAL = (SPEC, "weights.pt", FILE, MODEL)  # of the language model's own bundle, as far as it has them
GOLDEN = 3
GOLDEN_LENGTH = 1000  # tokens at most
SCORE_TOLERANCE = 0.05  # nats: other processors round otherwise


@dataclass(frozen=True)
class AudioConfig:
    """How sound becomes a source: the front end, and the normalizer that was fitted on the training split."""

    front_end: FrontEnd
    normalizer: CMVN


@dataclass(frozen=True)
class PhotoConfig:
    """How a photo becomes a source: the same for its annotation vectors."""

    front_end: ImageFrontEnd
    normalizer: CMVN

    def described(self) -> dict[str, Any]:
        """What features.json says of it."""
        return {IMAGE_FRONT_END: asdict(self.front_end), "normalizer": asdict(self.normalizer)}


@dataclass(frozen=True)
class Bundle:
    """A model ready to use."""

    model: Model
    tokenizer: TextTokenizer
    sound: AudioConfig | None  # what its sources are made of, None where it reads text
    beam: Beam
    spelling: TextTokenizer | None = None  # of the texts that it reads, where they are not what it says
    lm: Decoder | None = None  # that its searches fuse, words included
    sight: PhotoConfig | None = None  # what its sources are made of where it sees photos

    @property
    def front_end(self) -> FrontEnd:
        return self._heard.front_end

    @property
    def normalizer(self) -> CMVN:
        """Of frames, or annotation vectors; of tokens none."""
        made = self.sound or self.sight
        return made.normalizer if made else CMVN("none")

    @property
    def _heard(self) -> AudioConfig:
        if self.sound is None:
            raise UserError("this bundle holds a model that reads text and has no ear: give one that heard recordings")
        return self.sound

    def source(self, stored: np.ndarray) -> Padded:
        """Stored frames (T, D), annotation vectors (L, D), or the tokens (T,) of a text, as the model's source."""
        of_tokens = not (self.sound or self.sight)
        return Padded.stack([torch.from_numpy(stored.astype(np.int64) if of_tokens else self.normalizer(stored))])


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
    sight: PhotoConfig | None = None  # in place of sound


def write_bundle(contents: BundleContents) -> Artifact:
    model = contents.config.build(*contents.sizes)
    model.load_state_dict(contents.weights)
    tokenizer = load_tokenizer(contents.tokenizer)
    sound, sight = contents.sound, contents.sight
    bundle = Bundle(model.eval(), tokenizer, sound, contents.beam, sight=sight)
    source_size, target_size = contents.sizes
    with new_draft("bundle") as out:
        out.put("weights.pt", to_bytes(contents.weights))
        out.put_json(
            "model.json", describe_config(contents.config) | {"source_size": source_size, "target_size": target_size}
        )
        for name in contents.tokenizer.names():
            out.put(name, contents.tokenizer.read(name))
        out.put_json(FEATURES, sight.described() if sight else sound and asdict(sound))
        for name, place in stored_backbone(sight.front_end).items() if sight else ():
            out.put(BACKBONE + name, place)
        out.put_json(DECODING, beam_options(contents.beam))
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
    artifact.verify()
    spec, sound, tokenizer = read_spec(artifact), read_sound(artifact), load_tokenizer(artifact)
    if spec["target_size"] != len(tokenizer):
        raise UserError(f"{artifact.uri}: the model has {spec['target_size']} tokens, {FILE} has {len(tokenizer)}")
    spelling = load_source_tokenizer(artifact)
    if spelling and spec["source_size"] != len(spelling):
        told = f"{spec['source_size']} source tokens, {SOURCE}{FILE} has {len(spelling)}"
        raise UserError(f"{artifact.uri}: the model has {told}")
    sight, size = read_sight(artifact), spec["source_size"]
    if (sound and size != feature_size(sound[0], size)) or (sight and size != sight[0].annotation_size):
        raise UserError(f"{artifact.uri}: the model reads {size} coefficients, {FEATURES} makes others")
    model, beam, lm = read_model(artifact), read_beam(artifact), read_fusion_lm(artifact, tokenizer)
    heard, seen = AudioConfig(*sound) if sound else None, PhotoConfig(*sight) if sight else None
    return Bundle(model, tokenizer, heard, beam, spelling, lm, seen)


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


def check_golden_outputs(artifact: Artifact, beam: Beam | None = None) -> None:
    """Raises UserError unless the bundle says of its golden utterances what it said when it was made.

    beam: one that is to be used, and is refused here where the model's search or what the bundle holds does not go with
    it.
    """
    bundle, expected = load_bundle(artifact), read_object(artifact, "golden.json")
    with explain_bad_file(storage.join(artifact.uri, "golden.npz")):
        golden = read_arrays(artifact.read("golden.npz"))
        found, some = model_outputs(bundle, golden), list(golden.values())[:1]
    with explain_bad_file(storage.join(artifact.uri, "golden.json")):
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
    with new_draft("vocabularies" if is_classifier(bundle) or is_translator(bundle) else "tokenizer") as out:
        for name in (FILE, MODEL, SOURCE + FILE, SOURCE + MODEL):
            if name in bundle.names():
                out.put(name, bundle.read(name))
    return out.result()


def bundle_front_end(bundle: Artifact) -> FrontEnd | None:
    """What its sources are made with, None where it does not hear."""
    sound = read_sound(bundle)
    return sound[0] if sound else None


def lm_architecture(bundle: Artifact) -> str:
    """The file in models/ of the neural language model that its search fuses; "" where there is none."""
    return read_spec(bundle, LM)["architecture"] if LM + SPEC in bundle.names() else ""


def is_classifier(bundle: Artifact) -> bool:
    return read_object(bundle, FILE).get("kind") == LABELS


def bundle_image_front_end(bundle: Artifact) -> ImageFrontEnd | None:
    """The same of what sees photos: ready to use, for the backbone that the bundle holds is in the store then."""
    sight = read_sight(bundle)
    return store_backbone(sight[0], bundle.read(BACKBONE + WEIGHTS)) if sight else None


def is_translator(bundle: Artifact) -> bool:
    """Whether it reads a text in one language and says it in another."""
    return SOURCE + FILE in bundle.names() and not is_classifier(bundle)


def import_model(place: str, kinds: Sequence[str] = ("bundle",)) -> Artifact:
    """A model at any path or URI as an artifact of this store, copied there if it is not. Every file of it is read.

    Raises UserError for one of other kinds, and naming a file that is not what its manifest lists.
    """
    told = read_manifest(place)
    found, files = Artifact(told["kind"], told["digest"]), told["files"]
    if found.kind not in kinds:
        raise UserError(f"{place} holds {found.kind}, not a {' or a '.join(kinds)}")
    verify_files(place, files)
    if found.find_damage():
        with new_draft(found.kind) as out:
            for name in files:
                uri = storage.join(place, name)
                out.put(name, storage.read(uri) if storage.is_s3(uri) else Path(uri))
        if out.result() != found:
            raise UserError(f"{place} was changed while it was read; try again")
    return found
