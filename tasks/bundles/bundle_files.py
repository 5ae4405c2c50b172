"""The small files of a bundle, each checked as it is read: a bundle may come from anywhere, and be anything.

What does not fit is a UserError that names the file.
"""

import io
import zipfile
from dataclasses import asdict
from typing import Any

import numpy as np

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import explain_bad_file
from models.interface import Beam
from tasks.bundles.earlier_config_names import rename
from tasks.features.front_end import CMVN, FrontEnd, feature_size
from tasks.features.image_front_end import ImageFrontEnd
from tasks.steps.read_config import C, read_config

SPEC, FEATURES, DECODING, TRAINING = "model.json", "features.json", "decode.json", "training.json"
LM, WORDS = "lm/", "words.json"  # what begins with LM is of a language model
BACKBONE = "backbone/"  # and with this of what looks at photos
ENSEMBLE = "ensemble"  # the architecture that has others, models/ensemble.py
IMAGE_FRONT_END = "image_front_end"
WIDEST = 1 << 16  # hypotheses of a beam
LONGEST_WINDOW = 1 << 20  # samples that a spectrum is made of
MOST_BANDS = 1 << 14
LARGEST_PHOTO = 1 << 12  # pixels a side that a backbone reads


def read_object(bundle: Artifact, name: str) -> dict[str, Any]:
    """A JSON object, by the names of today."""
    told = bundle.read_json(name)
    with explain_bad_file(storage.join(bundle.uri, name)):
        if not isinstance(told, dict):
            raise ValueError("it is no JSON object")
    return rename(told)


def read_spec(bundle: Artifact, prefix: str = "") -> dict[str, Any]:
    """What builds the model: architecture, options, source_size, target_size."""
    name = prefix + SPEC
    told = read_object(bundle, name)
    with explain_bad_file(storage.join(bundle.uri, name)):
        if not isinstance(told.get("architecture"), str) or not isinstance(told.get("options"), dict):
            raise ValueError("it names no architecture with its options")
        for size in ("source_size", "target_size"):
            if type(told.get(size)) is not int or told[size] < 0:
                raise ValueError(f"{size} is {ascii(told.get(size))[:60]}, which is no number of them")
    return told


def read_architecture(bundle: Artifact) -> str:
    """The file in models/ that its model is of; of an ensemble also those of its members, a plus before each."""
    spec = read_spec(bundle)
    if spec["architecture"] != ENSEMBLE:
        return spec["architecture"]
    with explain_bad_file(storage.join(bundle.uri, SPEC)):
        return "+".join((ENSEMBLE, *sorted({member["architecture"] for member in spec["options"]["members"]})))


def beam_options(beam: Beam) -> dict[str, Any]:
    """What decode.json holds. How long a text may get is not in it: that is for a run to say, and earlier bundles,
    which have it there, cut long recordings by it.
    """
    return {name: value for name, value in asdict(beam).items() if name != "max_length"}


def read_beam(bundle: Artifact) -> Beam:
    told = read_object(bundle, DECODING)
    with explain_bad_file(storage.join(bundle.uri, DECODING)):
        beam = read_config(Beam, {name: value for name, value in told.items() if name != "max_length"})
        if beam.width > WIDEST:
            raise ValueError(f"width is {beam.width:,}, at most {WIDEST:,}")
        return beam


def _features(bundle: Artifact) -> dict[str, Any]:
    return {} if bundle.read_json(FEATURES) is None else read_object(bundle, FEATURES)


def read_sight(bundle: Artifact) -> tuple[ImageFrontEnd, CMVN] | None:
    """The image front end and the normalizer of its annotation vectors, None where the model sees no photos."""
    told = _features(bundle)
    if IMAGE_FRONT_END not in told:
        return None
    with explain_bad_file(storage.join(bundle.uri, FEATURES)):
        front_end = read_config(ImageFrontEnd, told[IMAGE_FRONT_END], IMAGE_FRONT_END)
        normalizer = read_config(CMVN, told.get("normalizer"), "normalizer")
        if front_end.size > LARGEST_PHOTO:
            raise ValueError(f"{IMAGE_FRONT_END} has photos of {front_end.size:,} pixels a side")
        _check_normalizer(normalizer, front_end.annotation_size)
    return front_end, normalizer


def _check_normalizer(normalizer: CMVN, size: int) -> None:
    given = len(normalizer.mean)
    if normalizer.kind == "corpus" and not given == len(normalizer.deviation) == size > 0:
        raise ValueError("normalizer has not a mean and a deviation for each coefficient of the front end")
    if not (np.asarray(normalizer.deviation) > 0).all():
        raise ValueError("normalizer.deviation is not above 0")


def read_sound(bundle: Artifact) -> tuple[FrontEnd, CMVN] | None:
    """The front end and the normalizer, None where the model reads text, or sees photos."""
    told = _features(bundle)
    if not told or IMAGE_FRONT_END in told:
        return None
    with explain_bad_file(storage.join(bundle.uri, FEATURES)):
        front_end = read_config(FrontEnd, told.get("front_end"), "front_end")
        normalizer = read_config(CMVN, told.get("normalizer"), "normalizer")
        if front_end.fft_size > LONGEST_WINDOW or max(front_end.mels, front_end.bands) > MOST_BANDS:
            raise ValueError(f"front_end has a window of {front_end.fft_size:,} samples, {front_end.mels:,} mels")
        _check_normalizer(normalizer, feature_size(front_end, len(normalizer.mean)))
    return front_end, normalizer


def read_words(bundle: Artifact) -> dict[str, list[str]]:
    """Lexicon and hotwords."""
    told = read_object(bundle, WORDS)
    with explain_bad_file(storage.join(bundle.uri, WORDS)):
        for name, words in told.items():
            if name not in {"lexicon", "hotwords"} or not isinstance(words, list):
                raise ValueError(f"{ascii(name)[:60]} is neither lexicon nor hotwords, or no list")
            if not all(isinstance(word, str) for word in words):
                raise ValueError(f"{name} holds what is no word")
    return told


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """What np.savez wrote. Raises ValueError for more than the file holds."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
            raise ValueError("its content is larger than the file")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def read_training(bundle: Artifact, name: str, kind: type[C], *, known: bool = True) -> C:
    """A config that the training was done with. known: whether every bundle tells it; else the default stands in."""
    told = read_object(bundle, TRAINING)
    with explain_bad_file(storage.join(bundle.uri, TRAINING)):
        return read_config(kind, told.get(name) if known else told.get(name, {}), name)


def read_languages(bundle: Artifact) -> tuple[str, str]:
    """Those that a translator reads and writes, as its corpus called them."""
    told = read_object(bundle, TRAINING)
    with explain_bad_file(storage.join(bundle.uri, TRAINING)):
        languages = told["languages"]
        if not isinstance(languages, dict) or not all(isinstance(code, str) for code in languages.values()):
            raise ValueError("languages are not two names")
        return languages["source"], languages["target"]


def read_members(bundle: Artifact) -> list[str]:
    """The digests of the bundles that an ensemble was made of, none of another model."""
    told = read_object(bundle, TRAINING)
    with explain_bad_file(storage.join(bundle.uri, TRAINING)):
        members = told.get("members", [])
        if not isinstance(members, list) or not all(isinstance(digest, str) for digest in members):
            raise ValueError("members are no digests")
        return members
