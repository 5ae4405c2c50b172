"""Photos' annotation vectors and captions as data to train on: a row a (photo, caption) pair.

The vectors of a photo are stored once and read for each of its captions. What a batch costs is what the decoder steps
over: `frames` is a caption's tokens and EOS, so that captions of like lengths share a batch; every photo has the same
number of places.
"""

from functools import cached_property

import numpy as np
import pyarrow as pa

from tasks.batches.batch_loader import UtteranceDataset


class CaptionDataset(UtteranceDataset):
    """Its index is that of `caption_pairs`."""

    @cached_property
    def frames(self) -> np.ndarray:
        return self.tokens + 1

    @cached_property
    def photos(self) -> np.ndarray:
        """A row for each distinct photo, its first: what is decoded."""
        _, first = np.unique(np.asarray(self.index["key"].to_pylist(), dtype=str), return_index=True)
        return np.sort(first)


def caption_pairs(photos: pa.Table) -> pa.Table:
    """The index of tasks/features/extract_image_features.py, a row a photo, to one with a row a caption: `text` and
    `token_ids` of that one, `references` of them all.
    """
    rows = []
    for row in photos.to_pylist():
        captions, ids = row.pop("captions"), row.pop("token_ids")
        rows += [
            row | {"text": text, "token_ids": told, "tokens": len(told), "references": captions}
            for text, told in zip(captions, ids, strict=True)
        ]
    lists = {"captions": "references"}
    schema = [f.with_name(lists.get(f.name, f.name)) for f in photos.schema if f.name != "token_ids"]
    own = [("text", pa.string()), ("token_ids", pa.list_(pa.int32())), ("tokens", pa.int32())]
    return pa.Table.from_pylist(rows, pa.schema([*schema, *(pa.field(*one) for one in own)]))


def first_captions(photos: pa.Table) -> pa.Table:
    """The same with a row a photo, that of its first caption: what is decoded."""
    pairs = caption_pairs(photos)
    sizes = np.array([len(captions) for captions in photos["captions"].to_pylist()], dtype=int)
    return pairs.take(pa.array(np.cumsum(sizes) - sizes))
