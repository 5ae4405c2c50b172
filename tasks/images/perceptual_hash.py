"""A hash of what a photo looks like: 256 bits that survive another format, quality, size, brightness, or gray.

The difference hash (Krawetz 2013, http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html) of
a thumbnail of 16 rows and 17 columns: whether each cell is brighter than the one to its right. Photos whose hashes
are near may still differ in what a thumbnail shows well, as small things on one plain ground do, so a pair counts as
near only where their thumbnails correlate as well.
"""

import numpy as np
from PIL import Image

ROWS, COLUMNS = 16, 17
BITS = ROWS * (COLUMNS - 1)
WORDS = BITS // 64
ALIKE = 0.95  # correlation of thumbnails, from which they show the same
PLAIN = 2.0  # standard deviation of a thumbnail, below which it shows nothing that could correlate


def make_thumbnail(photo: Image.Image) -> np.ndarray:
    """Brightness of the photo's 16 x 17 cells, uint8."""
    return np.asarray(photo.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX))


def mirror_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """(..., 16, 17) of the photos mirrored left to right."""
    return thumbnails[..., ::-1]


def hash_thumbnails(thumbnails: np.ndarray) -> np.ndarray:
    """(..., 16, 17) to hashes as (..., 4) uint64."""
    brighter = thumbnails[..., :-1] > thumbnails[..., 1:]
    packed = np.packbits(brighter.reshape(*brighter.shape[:-2], BITS), axis=-1)
    return np.ascontiguousarray(packed).view(">u8").astype(np.uint64)


def hash_to_hex(words: np.ndarray) -> str:
    """(4,) uint64 as 64 hexadecimal digits."""
    return "".join(f"{word:016x}" for word in words.tolist())


def hex_to_hash(text: str) -> np.ndarray:
    return np.array([int(text[at : at + 16], 16) for at in range(0, len(text), 16)], np.uint64)


def hash_photo(photo: Image.Image) -> str:
    """The photo's hash as 64 hexadecimal digits."""
    return hash_to_hex(hash_thumbnails(make_thumbnail(photo)))


def look_alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two thumbnails show the same, whatever their brightness and contrast."""
    first, second = (one.astype(np.float64).ravel() - one.mean() for one in (a, b))
    spread = first.std(), second.std()
    if min(spread) < PLAIN:
        return max(spread) < PLAIN and abs(float(a.mean()) - float(b.mean())) < PLAIN
    return float(np.mean(first * second)) / (spread[0] * spread[1]) >= ALIKE
