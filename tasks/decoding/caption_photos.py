"""Photos to captions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam, Padded
from tasks.bundles.model_bundle import bundle_image_front_end, load_on_device
from tasks.decoding.translate import ScoredText, distinct_texts
from tasks.features.backbone_weights import load_backbone
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor


class Caption(NamedTuple):
    """Of a photo."""

    text: str
    score: float
    n_best: tuple[ScoredText, ...]
    truncated: bool


class PhotoCaptioner:
    """A bundle with its backbone and a search."""

    def __init__(self, bundle: Artifact, beam: Beam, batch: int = 32) -> None:
        self.front_end, self.beam, self.batch = require_captioner(bundle), beam, batch
        self.bundle, self.device = load_on_device(bundle)
        self.backbone = load_backbone(self.front_end).to(self.device)

    @torch.inference_mode()
    def caption_pixels(self, pixels: Sequence[np.ndarray]) -> list[Caption]:
        vectors = self.backbone(photo_tensor(list(pixels), self.front_end)).half().numpy()
        source = Padded.stack([torch.from_numpy(self.bundle.normalizer(one)) for one in vectors])
        captions = []
        for nbest in self.bundle.model.search(source, self.beam, self.bundle.lm):
            texts = distinct_texts(nbest, self.bundle.tokenizer)
            captions.append(Caption(*texts[0], texts, nbest[0].truncated))
        return captions


def require_captioner(bundle: Artifact) -> ImageFrontEnd:
    front_end = bundle_image_front_end(bundle)
    if front_end is None:
        raise UserError(f"{bundle.uri}: not a captioner; give a model that train_captioning made")
    return front_end
