"""How much of a photo is seen, and on what scale."""

import numpy as np
import pytest
from PIL import Image

from tasks.features.image_front_end import ImageFrontEnd, Region, photo_tensor, resize_photo, seen_region


def gradient(width, height):
    """Red says how far to the right a pixel is, green how far down."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack((x, y, 0 * x), 2).astype(np.uint8))


def test_places():
    assert ImageFrontEnd().places == 49
    assert ImageFrontEnd(stride=16).places == ImageFrontEnd(size=448).places == 196
    assert ImageFrontEnd(backbone="resnet101").annotation_size == 2048


@pytest.mark.parametrize(
    ("options", "region"),
    [
        ({}, Region(0, 0, 400, 300)),
        ({"resize": "crop"}, Region(50, 0, 350, 300)),
        ({"resize": "crop", "crop_share": 0.5}, Region(125, 75, 275, 225)),
    ],
)
def test_the_region_that_is_seen_is_what_the_pixels_show(options, region):
    front_end = ImageFrontEnd(size=64, stride=32, **options)
    assert seen_region(400, 300, front_end) == region
    pixels = resize_photo(gradient(400, 300), front_end).astype(float)
    assert pixels.shape == (64, 64, 3)
    for i, (low, high, whole) in enumerate(((region.left, region.right, 400), (region.top, region.bottom, 300))):
        line = pixels[32, :, 0] if i == 0 else pixels[:, 32, 1]
        centers = low + (np.arange(64) + 0.5) * (high - low) / 64
        np.testing.assert_allclose(line[2:-2], (centers[2:-2] - 0.5) * 255 / (whole - 1), atol=1.6)


def test_a_photo_of_the_right_size_stays_as_it_is():
    photo = gradient(224, 224)
    np.testing.assert_array_equal(resize_photo(photo, ImageFrontEnd()), np.asarray(photo))


def test_the_scale_is_the_published_one_or_the_given():
    black_and_white = [np.full((32, 32, 3), value, np.uint8) for value in (0, 255)]
    published = {
        "efficientnet_lite0": [(-127 / 128,) * 3, (1.0,) * 3],
        "googlenet": [(-1.0,) * 3, (1.0,) * 3],
        "resnet50": [(-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.64)],
    }
    for name, ends in published.items():
        x = photo_tensor(black_and_white, ImageFrontEnd(backbone=name, size=32))
        np.testing.assert_allclose(x[:, :, 5, 7], ends, atol=1e-4)
    own = ImageFrontEnd(size=32, mean=[0.0, 0.0, 0.5], deviation=[1.0, 2.0, 1.0])
    np.testing.assert_allclose(photo_tensor(black_and_white, own)[1, :, 0, 0], [1.0, 0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "vgg"}, "features.backbone is one of"),
        ({"stride": 4}, "features.stride is one of"),
        ({"size": 225}, "multiple of features.stride=32"),
        ({"size": 0}, "multiple"),
        ({"resize": "stretch"}, "features.resize"),
        ({"crop_share": 0.5}, "resize=crop"),
        ({"resize": "crop", "crop_share": 0.0}, "above 0"),
        ({"mean": (0.5,)}, "features.mean"),
        ({"deviation": (0.0, 1.0, 1.0)}, "above 0"),
    ],
)
def test_front_ends_that_there_are_not(options, message):
    with pytest.raises(ValueError, match=message):
        ImageFrontEnd(**options)
