"""Photos of a few patches, and captions of them, written for a test."""

import io
import json

import numpy as np
from PIL import Image

SIZE = (48, 32)


def scenery(seed, size=SIZE):
    """A photo that no other number gives, nor looks like."""
    random = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells, weight in ((3, 1.0), (7, 0.6), (15, 0.3)):
        layer = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(layer.resize(size, Image.Resampling.BICUBIC), float)
    return Image.fromarray((total / 1.9).astype(np.uint8))


def encoded(photo, kind="JPEG", **options):
    file = io.BytesIO()
    photo.save(file, kind, **options)
    return file.getvalue()


def write_photos(folder, numbers):
    """photo_<number>.jpg, each scenery(number)."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"photo_{number}.jpg").write_bytes(encoded(scenery(number)))


def captions_of(number):
    return [f"A photo of number {number}.", f"Number {number}, again"]


def write_coco(root, train=range(8), dev=range(8, 11), layout="{split}2017"):
    """A folder as COCO's: two captions a photo."""
    (root / "annotations").mkdir(parents=True)
    for split, numbers in (("train", train), ("val", dev)):
        write_photos(root / layout.format(split=split), numbers)
        images = [{"id": n, "file_name": f"photo_{n}.jpg", "width": 48, "height": 32} for n in numbers]
        notes = [{"id": 10 * n + i, "image_id": n, "caption": c} for n in numbers for i, c in enumerate(captions_of(n))]
        told = {"info": {}, "licenses": [], "images": images, "annotations": notes}
        (root / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(told))
    return root


def change_json(path, change):
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
