"""What a corpus reader says of one photo, and how photos are taken in."""

import posixpath
from dataclasses import dataclass
from typing import NamedTuple

from tasks.corpora.corpus_files import CorpusFiles

PHOTO_FOLDERS = ("", "images", "Images", "photos", "img")  # beside a table, where photos are often kept
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".jp2", ".avif")

NO_LIST = "in no list of a split"  # the corpus leaves these photos out, so nobody is charged for them


@dataclass(frozen=True, kw_only=True)
class PhotoIngestConfig:
    """How photos become shards.

    shard_mb: the size at which a shard is closed. error_budget: the share of a split's photos, and of its captions,
    that may be rejected. max_pixels: a photo with more is refused undecoded. max_words: of a caption. near_bits: of 256
    bits of the perceptual hash, so many may differ between photos that are the same; up to 31, 0 for exact copies and
    equal hashes only. own_splits: ignore the corpus' splits. dev_share, test_share, seed: of splits of our own, how
    much is dev and test, and the seed of the draw; without a dev split dev_share of train becomes it.
    """

    shard_mb: float = 64.0
    error_budget: float = 0.05
    max_pixels: int = 100_000_000
    max_words: int = 100
    near_bits: int = 31
    own_splits: bool = False
    dev_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.near_bits <= 31:
            raise ValueError(f"ingest.near_bits is 0 to 31, not {self.near_bits}")


class Box(NamedTuple):
    """Where an object is, in pixels of the upright photo; x1 and y1 are the first beyond it."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float


class PhotoRow(NamedTuple):
    """One photo with all its captions. split: "train", "dev", "test", or "" for ours to be decided. photo: the name of
    a file in the corpus. split_from: what says the split.
    """

    split: str
    photo: str
    captions: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    split_from: str = ""

    @property
    def source(self) -> str:
        """What names the photo in messages and tables."""
        return self.photo


def find_photo(source: CorpusFiles, folder: str, name: str) -> str:
    """Beside the table in this folder, or in one of the folders where photos are often kept. Raises ValueError for no
    path.
    """
    if not name or "\0" in name:
        raise ValueError("a path with a NUL in it" if name else "no photo is named")
    if name.startswith(("/", "s3://")):
        return name
    return source.first(*(posixpath.normpath(posixpath.join(folder, below, name)) for below in PHOTO_FOLDERS))
