"""Photos on a page: small, in their own shape, and in the light where a model looked."""

import numpy as np
import pytest
from PIL import Image

from tasks.features.image_front_end import ImageFrontEnd
from tasks.reports.photo_preview import DARK, SMALL, html_photo, light_photo

WHITE = Image.new("RGB", (224, 112), "white")


@pytest.mark.parametrize("place", [(0, 0), (1, 3), (3, 2)])
def test_it_is_light_where_it_was_looked(place):
    attention = np.zeros((4, 4))
    attention[place] = 0.7
    seen = np.asarray(light_photo(WHITE, attention, ImageFrontEnd(size=128, stride=32)))[..., 0] / 255
    assert seen.shape == (SMALL // 2, SMALL)
    cells = seen.reshape(4, SMALL // 8, 4, SMALL // 4).mean((1, 3))
    assert np.unravel_index(cells.argmax(), cells.shape) == place
    far = cells[(place[0] + 2) % 4, (place[1] + 2) % 4]
    assert far == pytest.approx(DARK, abs=0.01)


def test_what_is_not_seen_is_dark():
    """A square from the middle, as a front end crops it."""
    front_end = ImageFrontEnd(size=128, stride=32, resize="crop")
    seen = np.asarray(light_photo(WHITE, np.full((4, 4), 1 / 16), front_end))[..., 0] / 255
    edge = SMALL // 4
    assert seen[:, :edge] == pytest.approx(DARK, abs=0.01)
    assert seen[:, -edge:] == pytest.approx(DARK, abs=0.01)
    assert seen[:, edge:-edge] == pytest.approx(1, abs=0.01)


def test_meaning_is_text():
    assert 'alt="&lt;b&gt; &#34;"' in html_photo(WHITE, '<b> "')
