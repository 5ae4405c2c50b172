"""Photos of the shards on a page: small, and with what a model looked at in the light."""

import io

import numpy as np
from markupsafe import Markup
from PIL import Image

from infra.artifact_store import Artifact
from tasks.features.image_front_end import ImageFrontEnd, seen_region
from tasks.images.photo import open_photo
from tasks.ingest.photo_shard import read_photo_sample
from tasks.reports.html_page import to_base64
from tasks.reports.sample_preview import find_samples, read_region

SIDE, SMALL = 240, 112  # pixels of the longer side: of a photo, and of one for each word
DARK = 0.25  # of its light a photo keeps where nothing was looked at
QUALITY = 80


def preview_photo(shards: Artifact, key: str) -> Image.Image:
    """A photo, at most SIDE pixels wide and high."""
    photo = open_photo(read_photo_sample(read_region(shards, find_samples(shards, [key])[key])).data)
    photo.thumbnail((SIDE, SIDE))
    return photo


def html_photo(photo: Image.Image, meaning: str) -> Markup:
    """meaning: for who does not see it."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=QUALITY)
    image = Markup('<img alt="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">')
    return image.format(meaning, *photo.size, to_base64(buffer.getvalue()))


def light_photo(photo: Image.Image, attention: np.ndarray, front_end: ImageFrontEnd) -> Image.Image:
    """A photo, at most SMALL pixels wide and high, bright where attention (rows, columns) is the most."""
    small = photo.copy()
    small.thumbnail((SMALL, SMALL))
    seen = seen_region(*small.size, front_end)
    box = tuple(round(edge) for edge in (seen.left, seen.top, seen.right, seen.bottom))
    heat = Image.fromarray((attention / max(attention.max(), 1e-9) * 255).astype(np.uint8))
    light = np.zeros((small.height, small.width))
    size = (box[2] - box[0], box[3] - box[1])
    light[box[1] : box[3], box[0] : box[2]] = np.asarray(heat.resize(size, Image.Resampling.BICUBIC)) / 255
    return Image.fromarray((np.asarray(small) * (DARK + (1 - DARK) * light[..., None])).astype(np.uint8))


def attention_strip(
    shards: Artifact, key: str, words: list[tuple[str, np.ndarray]], front_end: ImageFrontEnd
) -> Markup:
    """A photo, and beside it one for each word, with where the model looked when it wrote that."""
    photo, item = preview_photo(shards, key), Markup('<figure>{}<figcaption dir="auto">{}</figcaption></figure>')
    said = " ".join(word for word, _ in words)
    small = photo.copy()
    small.thumbnail((SMALL, SMALL))
    parts = [item.format(html_photo(small, said), Markup("<b>photo</b>"))]
    for word, attention in words:
        parts.append(item.format(html_photo(light_photo(photo, attention, front_end), f"looked at for {word}"), word))
    return Markup('<article class="looked">{}</article>').format(Markup("").join(parts))
