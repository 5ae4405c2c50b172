"""Whether a captioner looks at what it names: the share of a word's attention that falls into its object's box."""

from typing import Any

import numpy as np

from tasks.features.image_front_end import ImageFrontEnd, seen_region


def attention_in_boxes(rows: list[dict[str, Any]], front_end: ImageFrontEnd) -> dict[str, Any] | None:
    """Means over the words that end the name of a boxed object: `share` of the attention in its box, `area`, the share
    of what the model sees that the box is, and the number of `words`. None where no photo has boxes, or no word has
    attention. A name that two objects of a photo have is not counted, nor is one that a caption says twice.
    """
    found = [one for row in rows if row["boxes"] for one in _words(row, front_end)]
    if not found:
        return None
    share, area = np.mean(found, axis=0).tolist()
    return {"share": share, "area": area, "words": len(found)}


def _words(row: dict[str, Any], front_end: ImageFrontEnd) -> list[tuple[float, float]]:
    """Of each object that the caption names its share of the attention and of the area."""
    labels, told = [box["label"].split() for box in row["boxes"]], list[tuple[float, float]]()
    tokens, attention = [token.strip() for token in row["tokens"]], row["attention"]
    for box, label in zip(row["boxes"], labels, strict=True):
        size = len(label)
        places = [i for i in range(len(tokens) - size + 1) if tokens[i : i + size] == label]
        if attention and len(places) == 1 and labels.count(label) == 1:
            inside = box_cells(box, row, front_end)
            looked = np.asarray(attention[places[0] + size - 1]).reshape(inside.shape)
            told.append((float((looked * inside).sum()), float(inside.mean())))
    return told


def box_cells(box: dict[str, Any], photo: dict[str, Any], front_end: ImageFrontEnd) -> np.ndarray:
    """(rows, columns) how much of each place, a cell of what the model sees, lies in a box."""
    seen, side = seen_region(photo["width"], photo["height"], front_end), front_end.size // front_end.stride
    across = _covered(box["x0"], box["x1"], seen.left, seen.right, side)
    down = _covered(box["y0"], box["y1"], seen.top, seen.bottom, side)
    return down[:, None] * across[None, :]


def _covered(low: float, high: float, begin: float, end: float, cells: int) -> np.ndarray:
    """Of each of so many equal cells from begin to end the share between low and high."""
    edges = np.linspace(begin, end, cells + 1)
    inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
    return inside / (edges[1:] - edges[:-1])
