"""Photos of one colored square on uneven gray, with two captions each and the square's box, written for a test."""

import itertools
import json

import numpy as np
from PIL import Image

SIDE, SQUARE = 64, 28
COLORS = {"red": (220, 30, 30), "green": (30, 140, 30), "blue": (30, 60, 220), "yellow": (250, 220, 30)}
PLACES = {"left": 2, "right": SIDE - SQUARE - 2}


def captions_of(color, place):
    return [f"A {color} square on the {place}.", f"On the {place} a {color} square"]


def square_photo(color, place, seed):
    """The photo and its square's corners."""
    random = np.random.default_rng(seed)
    photo = Image.fromarray(random.integers(110, 150, (5, 5), dtype=np.uint8)).convert("RGB").resize((SIDE, SIDE))
    x, y = PLACES[place], int(random.integers(2, SIDE - SQUARE - 2))
    photo.paste(COLORS[color], (x, y, x + SQUARE, y + SQUARE))
    return photo, (x, y, x + SQUARE, y + SQUARE)


def write_squares(folder, sizes):
    """A table of captions beside its photos. sizes: of the splits, photos."""
    (folder / "photos").mkdir(parents=True)
    rows, kinds = [], itertools.cycle(itertools.product(COLORS, PLACES))
    for split, size in sizes.items():
        for _ in range(size):
            color, place = next(kinds)
            photo, corners = square_photo(color, place, len(rows))
            name = f"photos/square_{len(rows):03}.png"
            photo.save(folder / name)
            told = {"caption": captions_of(color, place), "boxes": [[f"{color} square", *corners]]}
            rows.append(json.dumps({"image": name, "split": split} | told))
    (folder / "squares.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "squares.jsonl"
