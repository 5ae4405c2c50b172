"""A captioner that is trained with its backbone: what it begins as, and what a bundle has of it."""

from dataclasses import dataclass, replace
from typing import Any

from models.families.end_to_end_captioner import EndToEndCaptioner
from tasks.bundles.model_bundle import BundleContents, PhotoConfig
from tasks.bundles.training_checkpoints import Weights, to_bytes
from tasks.features.backbone_weights import load_backbone, store_backbone
from tasks.features.extract_image_features import annotate_photos
from tasks.features.front_end import CMVN
from tasks.features.image_front_end import ImageFrontEnd

BACKBONE, CAPTIONER = "backbone.network.", "captioner."  # what the names of their weights begin with


@dataclass(frozen=True)
class EndToEndConfig:
    """model: the captioner's Config. front_end: as `prepare_front_end` gives it, with the weights that the backbone
    begins with. normalizer: of annotation vectors.
    """

    model: Any
    front_end: ImageFrontEnd
    normalizer: CMVN

    def build(self, source_size: int, target_size: int) -> EndToEndCaptioner:
        captioner = self.model.build(source_size, target_size)
        return EndToEndCaptioner(
            load_backbone(self.front_end), captioner, self.normalizer.mean, self.normalizer.deviation
        )


def split_contents(contents: BundleContents) -> BundleContents:
    """The captioner's own bundle, as one that was trained on stored vectors has it: the backbone as it is now is part
    of how it sees photos. contents: of an `EndToEndConfig`; its golden utterances are pixels.
    """
    assert contents.sight is not None
    backbone = to_bytes(_part(contents.weights, BACKBONE))
    front_end = store_backbone(replace(contents.sight.front_end, digest=""), backbone)
    vectors = annotate_photos(load_backbone(front_end), list(contents.golden.values()), front_end)
    return replace(
        contents,
        config=contents.config.model,
        weights=_part(contents.weights, CAPTIONER),
        sight=PhotoConfig(front_end, contents.sight.normalizer),
        golden=dict(zip(contents.golden, vectors, strict=True)),
    )


def _part(weights: Weights, prefix: str) -> Weights:
    found = {name: value for name, value in weights.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value.contiguous() for name, value in found.items()}
