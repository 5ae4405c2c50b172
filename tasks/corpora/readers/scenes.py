"""The scenes corpus: drawn scenes of one to three objects, each with a sentence of a small grammar that says what is
there and where, and the objects' boxes.

    a small red circle at the top left
    a large blue square above a small green star
    a large red circle and a small blue square with a small white cross between them

No two objects named together in dev or test (but for their sizes) are together in any scene of train, nor is a lone
one in its place. The first named is the left or the upper one. Every scene has a ground of its own, uneven gray. The
same seed gives the same bytes.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.photo_row import Box, PhotoIngestConfig, PhotoRow
from tasks.corpora.readers import captions
from tasks.corpora.utterance import Reject

SIZES = {"train": 4000, "dev": 200, "test": 200}
HELD_OUT = {"test": 0.15, "dev": 0.15}  # of all combinations
COUNTS = ((1, 0.25), (2, 0.6), (3, 0.15))  # objects in a scene, and the share of such scenes
SIDE, FINER = 224, 2  # of a scene in pixels, and drawn so many times as large
JPEG_EACH = 16  # every so manieth scene is a JPEG
COLORS = {
    "red": (214, 39, 40),
    "green": (34, 139, 34),
    "blue": (31, 61, 204),
    "yellow": (250, 218, 30),
    "white": (250, 250, 250),
    "black": (12, 12, 12),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
RADII = {"small": 18, "large": 34}  # pixels
KINDS = [(color, shape) for color in COLORS for shape in SHAPES]
DOWN, ACROSS = ("top", "", "bottom"), ("left", "", "right")  # where a lone object is
GAP = 8  # pixels between objects, and to the border
GROUND, PATCHES = (95, 165), 5  # the grays of a ground, and how many of them across and down


class SceneObject(NamedTuple):
    """Of what size, color and shape, and where its middle is, in pixels."""

    size: str
    color: str
    shape: str
    x: int
    y: int

    @property
    def label(self) -> str:
        return f"{self.size} {self.color} {self.shape}"


def photos(source: CorpusFiles, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[PhotoRow | Reject]:
    """The rows of the generated table; own_splits is honored as for any table."""
    yield from captions.photos(source, options, splits)


def generate(folder: Path, options: PhotoIngestConfig) -> None:
    """Fill the folder with the corpus."""
    random = np.random.default_rng(options.seed)
    (folder / "photos").mkdir()
    rows, number = list[str](), 0
    for split, size in SIZES.items():
        for _ in range(size):
            objects, sentence = draw_scene(split, random, options.seed)
            image, boxes = paint_scene(objects, random)
            name = f"photos/scene_{number:05}.{'png' if number % JPEG_EACH else 'jpg'}"
            image.save(folder / name, quality=90)
            row = {"image": name, "caption": sentence, "split": split, "boxes": boxes}
            rows.append(json.dumps(row))
            number += 1
    (folder / "scenes.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def draw_scene(split: str, random: np.random.Generator, seed: int) -> tuple[list[SceneObject], str]:
    """Objects that may be together in this split, the left or upper one first, and the sentence that says so."""
    counts, shares = zip(*COUNTS, strict=True)
    count, row, column = int(random.choice(counts, p=shares)), *map(int, random.integers(0, 3, 2))
    kinds = random.choice(len(KINDS), count, replace=False).tolist()
    while any(_split_of(together, seed) != split for together in _combinations(kinds, row, column)):
        kinds = random.choice(len(KINDS), count, replace=False).tolist()
    places, sizes = list[tuple[int, int]](), list[str]()
    while not places:
        sizes = random.choice(list(RADII), count).tolist()
        radii = [RADII[size] for size in sizes]
        places = _places_in_line(radii, random) if count > 1 else _one_place(radii[0], row, column, random)
    said = zip(sizes, (KINDS[kind] for kind in kinds), places, strict=True)
    objects = [SceneObject(size, color, shape, x, y) for size, (color, shape), (x, y) in said]
    return objects, say_scene(objects)


def _combinations(kinds: list[int], row: int, column: int) -> list[str]:
    """What no two splits may share: each two objects, or a lone one in its place."""
    pairs = [f"{min(pair)} {max(pair)}" for pair in itertools.combinations(kinds, 2)]
    return pairs or [f"{kinds[0]} at {row} {column}"]


@cache
def _split_of(together: str, seed: int) -> str:
    lot = int.from_bytes(hashlib.blake2b(f"{seed} {together}".encode(), digest_size=8).digest(), "big") / 2**64
    for split, share in HELD_OUT.items():
        if lot < share:
            return split
        lot -= share
    return "train"


def say_scene(objects: list[SceneObject]) -> str:
    """The sentence. objects: the left or upper one first."""
    first, *others = (f"a {one.label}" for one in objects)
    if not others:
        third = SIDE / 3
        down, across = DOWN[int(objects[0].y // third)], ACROSS[int(objects[0].x // third)]
        where = " ".join(filter(None, (down, across)))
        return f"{first} at the {where}" if where else f"{first} in the middle"
    if len(others) == 2:
        return f"{first} and {others[1]} with {others[0]} between them"
    across, down = objects[1].x - objects[0].x, objects[1].y - objects[0].y
    return f"{first} {'left of' if across > down else 'above'} {others[0]}"


def paint_scene(objects: list[SceneObject], random: np.random.Generator) -> tuple[Image.Image, list[Box]]:
    """A photo of 224 x 224 pixels, and each object's box."""
    grays = Image.fromarray(random.integers(*GROUND, (PATCHES, PATCHES)).astype(np.uint8))
    large = grays.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB").resize((SIDE * FINER, SIDE * FINER))
    draw, boxes = ImageDraw.Draw(large), list[Box]()
    for one in objects:
        corners = np.array([one.x, one.y]) + RADII[one.size] * outline(one.shape)
        draw.polygon([(float(x), float(y)) for x, y in corners * FINER], fill=COLORS[one.color])
        low, high = np.floor(corners.min(0)), np.ceil(corners.max(0))
        boxes.append(Box(one.label, *map(float, (*low, *high))))
    return large.resize((SIDE, SIDE), Image.Resampling.BOX), boxes


def outline(shape: str) -> np.ndarray:
    """(corners, 2) of a shape that just fits into the square from -1 to 1."""
    if shape == "square":
        return np.array([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    if shape == "cross":
        quarter = np.array([(-0.33, -1), (0.33, -1), (0.33, -0.33)])
        turn = np.array([(0, 1), (-1, 0)])
        return np.concatenate([quarter @ np.linalg.matrix_power(turn, n) for n in range(4)])
    corners = {"circle": 64, "triangle": 3, "star": 10}[shape]
    angles = 2 * np.pi * np.arange(corners) / corners
    radii = np.where(np.arange(corners) % 2, 0.45, 1.0) if shape == "star" else np.ones(corners)
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)


def _one_place(radius: int, row: int, column: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Within one of the nine parts of the scene."""
    middle = (np.array([column, row]) + 0.5) * SIDE / 3 + random.integers(-10, 11, 2)
    x, y = np.clip(middle, radius + GAP // 2, SIDE - radius - GAP // 2).astype(int)
    return [(int(x), int(y))]


def _places_in_line(radii: list[int], random: np.random.Generator) -> list[tuple[int, int]]:
    """From left to right or from top to bottom, none beside the line by more than a third of the way to the next;
    empty where this draw has no room for them.
    """
    low, high = np.array(radii) + GAP, SIDE - np.array(radii) - GAP
    along = np.sort(random.integers(0, SIDE, len(radii)))
    apart = np.array([a + b + GAP for a, b in itertools.pairwise(radii)])
    beside = random.integers(max(low), min(high)) + random.integers(-15, 16, len(radii))
    if (along < low).any() or (along > high).any() or (np.diff(along) < apart).any():
        return []
    beside = np.clip(beside, low, high)
    pairs = zip(along.tolist(), beside.tolist(), strict=True)
    return list(pairs) if random.integers(2) else [(y, x) for x, y in pairs]
