"""Photos and their captions as data to train on, where the backbone learns too: opened anew for every batch, from the
shards of tasks/ingest/photos/, to the same pixels that stored annotation vectors were made of.
"""

from dataclasses import dataclass

import numpy as np
import torch

from models.interface import Batch, Padded
from tasks.batches.caption_dataset import CaptionDataset
from tasks.features.extract_image_features import photo_bytes
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor, resize_photo
from tasks.images.photo import open_photo


@dataclass(frozen=True, kw_only=True)
class PhotoDataset(CaptionDataset):
    """Its index is that of `caption_pairs` of what tasks/features/locate_photos.py makes."""

    front_end: ImageFrontEnd

    def read(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The pixels (size, size, 3) uint8 and token ids (U,) of one row."""
        photo = open_photo(photo_bytes(self.region(row)))
        return resize_photo(photo, self.front_end), np.asarray(self._columns["token_ids"][row], np.int32)

    def batch(self, rows: np.ndarray, epoch: int | None, reduction: int = 1) -> Batch:  # noqa: ARG002  (a `Dataset`'s)
        """Its source are photos (B, H, W, 3) as the backbone sees them, float32."""
        photos, ids = zip(*(self.read(row) for row in rows.tolist()), strict=True)
        pixels = photo_tensor(list(photos), self.front_end).permute(0, 2, 3, 1)
        heights = torch.full((len(pixels),), pixels.shape[1])
        target = Padded.stack([torch.from_numpy(one.astype(np.int64)) for one in ids])
        return Batch(self.keys(rows), Padded(pixels, heights), target)
