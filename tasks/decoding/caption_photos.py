"""Photos to captions: opened, looked at by the backbone and searched, some at once, and given back in their order.

A photo goes the way that those of the training went: the same pixels, and annotation vectors in float16.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Beam, Hypothesis, Padded
from tasks.bundles.model_bundle import bundle_image_front_end, load_on_device
from tasks.decoding.decode_captions import attend_to_best
from tasks.decoding.translate import ScoredText, distinct_texts
from tasks.features.backbone_weights import load_backbone
from tasks.features.extract_image_features import annotate_photos
from tasks.features.image_front_end import ImageFrontEnd, resize_photo
from tasks.images.photo import BadPhoto, convert_photo, open_photo

Photo = bytes | Image.Image  # a file's content, or what Pillow opened
NOT_A_CAPTIONER = "not a captioner; give a model that train_captioning made"


class CaptionWord(NamedTuple):
    """attention: (rows, columns) the share that each place of the photo had when the word was written, None where the
    model sees the whole at once. The places divide what `seen_region` says the model sees.
    """

    text: str
    attention: np.ndarray | None

    def __repr__(self) -> str:
        seen = "None" if self.attention is None else " x ".join(map(str, self.attention.shape))
        return f"CaptionWord({self.text!r}, attention={seen})"


class Caption(NamedTuple):
    """score: of the best hypothesis, as `Beam` defines it. n_best: texts that differ and their scores, best first.
    truncated: it is as long as the search allows. words: of the best, where they were asked for.
    """

    text: str
    score: float
    n_best: tuple[ScoredText, ...]
    truncated: bool
    words: tuple[CaptionWord, ...] = ()


class PhotoCaptioner:
    """A bundle with its backbone and a search, on a GPU where there is one."""

    def __init__(self, bundle: Artifact, beam: Beam, batch: int = 32) -> None:
        """batch: photos that are looked at and searched at once, at most. Raises UserError for a bundle that holds no
        captioner, and for a beam that its search does not take.
        """
        if batch < 1:
            raise ValueError(f"batch is 1 or more, not {batch}")
        self.front_end, self.beam, self.batch = require_captioner(bundle), beam, batch
        self.bundle, self.device = load_on_device(bundle)
        assert isinstance(self.bundle.model, SequenceToSequence), "what sees photos says texts"
        self.model = self.bundle.model
        self.backbone = load_backbone(self.front_end).to(self.device)
        side = self.front_end.size
        self._search([np.zeros((side, side, 3), np.uint8)])

    def caption(self, photos: Sequence[Photo], *, attention: bool = False) -> list[Caption | BadPhoto]:
        """Photos to captions, or why one cannot be used, in their order. attention: with `words`."""
        found: list[Caption | BadPhoto] = []
        for begin in range(0, len(photos), self.batch):
            opened = [self._open(photo) for photo in photos[begin : begin + self.batch]]
            usable = [pixels for pixels in opened if not isinstance(pixels, BadPhoto)]
            captions = iter(self.caption_pixels(usable, attention=attention) if usable else ())
            found += [one if isinstance(one, BadPhoto) else next(captions) for one in opened]
        return found

    def _open(self, photo: Photo) -> np.ndarray | BadPhoto:
        try:
            seen = open_photo(photo) if isinstance(photo, bytes) else convert_photo(photo)
            return resize_photo(seen, self.front_end)
        except BadPhoto as bad:
            return bad

    def caption_pixels(self, pixels: list[np.ndarray], *, attention: bool = False) -> list[Caption]:
        """The same for some photos, (size, size, 3) each, as `resize_photo` makes them, all at once."""
        tokenizer, (source, nbests) = self.bundle.tokenizer, self._search(pixels)
        captions = []
        for nbest in nbests:
            texts = distinct_texts(nbest, tokenizer)
            captions.append(Caption(*texts[0], texts, nbest[0].truncated))
        if not attention:
            return captions
        side, told = self.front_end.size // self.front_end.stride, list[Caption]()
        looked = attend_to_best(self.model, source, nbests)
        for caption, nbest, weights in zip(captions, nbests, looked, strict=True):
            words = [tokenizer.decode([token]) for token in nbest[0].tokens]
            seen = [None] * len(words) if weights is None else weights.reshape(-1, side, side).cpu().numpy()
            told.append(caption._replace(words=tuple(map(CaptionWord, words, seen))))
        return told

    @torch.inference_mode()
    def _search(self, pixels: list[np.ndarray]) -> tuple[Padded, list[list[Hypothesis]]]:
        vectors = annotate_photos(self.backbone, pixels, self.front_end)
        source = Padded.stack([torch.from_numpy(self.bundle.normalizer(one)) for one in vectors]).to(self.device)
        try:
            return source, self.model.search(source, self.beam, self.bundle.lm)
        except ValueError as error:  # a term that the search does not have
            raise UserError(str(error)) from error


def require_captioner(bundle: Artifact, name: str = "") -> ImageFrontEnd:
    """How a captioner sees photos; its backbone is in the store then. Raises UserError for another kind of model, by
    the name that the user gave it, if any.
    """
    front_end = bundle_image_front_end(bundle)
    if front_end is None:
        raise UserError(f"{name or bundle.uri}: {NOT_A_CAPTIONER}")
    return front_end
