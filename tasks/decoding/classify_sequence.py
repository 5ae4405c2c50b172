"""The labels of one recording or text, by how probable each is."""

from typing import NamedTuple

import numpy as np
import torch

from infra.errors import UserError
from models.interface import Classifier
from tasks.audio.live_audio_input import AudioInput
from tasks.bundles.model_bundle import Bundle
from tasks.decoding.streaming_recognizer import stored_frames


class Classification(NamedTuple):
    """label: the most probable one. probabilities: of all labels, the most probable first."""

    label: str
    probabilities: dict[str, float]


@torch.inference_mode()
def classify_sequence(bundle: Bundle, given: AudioInput | str) -> Classification:
    """given: a recording, or a text where the model reads text. Raises UserError for a text of which nothing is left,
    and where the bundle holds no classifier.
    """
    if not isinstance(bundle.model, Classifier):
        raise UserError("this bundle holds no classifier; give one that train_classifier made")
    (log_probs,) = bundle.model.classify(bundle.source(_stored(bundle, given))).double()
    best = log_probs.argsort(descending=True).tolist()
    probabilities = {bundle.tokenizer.decode([label]): float(log_probs[label].exp()) for label in best}
    return Classification(next(iter(probabilities)), probabilities)


def _stored(bundle: Bundle, given: AudioInput | str) -> np.ndarray:
    """As feature shards hold it."""
    if isinstance(given, AudioInput):
        return stored_frames(given.samples, given.rate, bundle)
    assert bundle.spelling is not None, "a text is for a model that reads text"
    ids = np.array(bundle.spelling.encode(given), np.int64)
    if not len(ids):
        raise UserError(f"{given[:40]!r}: nothing is left of this text once it is normalized")
    return ids
