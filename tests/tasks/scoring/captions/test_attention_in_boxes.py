"""The share of attention in boxes, against boxes whose share is counted by hand."""

import numpy as np
import pytest

from tasks.features.image_front_end import ImageFrontEnd
from tasks.scoring.captions.attention_in_boxes import attention_in_boxes, box_cells

SQUASHED = ImageFrontEnd(size=64, stride=32)  # 2 x 2 places
CROPPED = ImageFrontEnd(size=64, stride=32, resize="crop")
WIDE = {"width": 80, "height": 40}


def box(label, *corners):
    return dict(zip(("label", "x0", "y0", "x1", "y1"), (label, *corners), strict=True))


def row(text, attention, *boxes, **photo):
    return (photo or WIDE) | {"tokens": text.split(), "attention": attention, "boxes": list(boxes)}


@pytest.mark.parametrize(
    ("corners", "front_end", "cells"),
    [
        ((0, 0, 40, 20), SQUASHED, [[1, 0], [0, 0]]),
        ((0, 0, 80, 40), SQUASHED, [[1, 1], [1, 1]]),
        ((20, 10, 60, 20), SQUASHED, [[0.25, 0.25], [0, 0]]),
        ((70, 30, 75, 40), SQUASHED, [[0, 0], [0, 5 / 40 * 0.5]]),
        ((-10, -10, 40, 20), SQUASHED, [[1, 0], [0, 0]]),
        ((0, 0, 40, 20), CROPPED, [[1, 0], [0, 0]]),  # it sees columns 20 to 60
        ((0, 0, 20, 40), CROPPED, [[0, 0], [0, 0]]),
        ((30, 10, 50, 30), CROPPED, [[0.25, 0.25], [0.25, 0.25]]),
    ],
)
def test_cells(corners, front_end, cells):
    np.testing.assert_allclose(box_cells(box("", *corners), WIDE, front_end), cells)


def test_places_are_row_by_row_as_the_backbone_gives_them():
    """The last word of a name counts, and where on the photo its place is."""
    attention = [[1, 0, 0, 0], [0, 0, 0, 1], [0.1, 0.6, 0.2, 0.1]]
    name = row("a red square", attention, box("red square", 40, 0, 80, 20))
    assert attention_in_boxes([name], SQUASHED) == {"share": pytest.approx(0.6), "area": 0.25, "words": 1}


def test_means_are_over_words_and_what_is_not_clear_is_not_counted():
    even, first = [0.25] * 4, [1, 0, 0, 0]
    cat, dog = box("cat", 0, 0, 40, 20), box("dog", 0, 0, 80, 20)
    rows = [
        row("a cat and a dog", [even, first, even, even, even], cat, dog),  # 1 of 0.25 and 0.5 of 0.5
        row("a cat and a cat", [even] * 5, cat),  # which of both
        row("a cat", [even] * 2, cat, cat),
        row("a bird", [even] * 2, cat),
        row("a cat", [even] * 2),
    ]
    assert attention_in_boxes(rows, SQUASHED) == {"share": 0.75, "area": 0.375, "words": 2}
    assert attention_in_boxes(rows[1:], SQUASHED) is None
    blind = row("a cat", None, cat)
    assert attention_in_boxes([blind], SQUASHED) is None
    assert attention_in_boxes([row("a cat", None, *[]) | {"boxes": None}], SQUASHED) is None


def test_even_attention_has_the_share_of_the_area():
    random = np.random.default_rng(0)
    for _ in range(20):
        x, y = np.sort(random.uniform(0, (80, 40), (2, 2)), axis=0)
        told = attention_in_boxes([row("a cat", [[0.25] * 4] * 2, box("cat", *x, *y))], SQUASHED)
        assert told["share"] == pytest.approx(told["area"])
        assert told["area"] == pytest.approx(np.prod(y - x) / 3200)
