"""Photos to feature shards: for each photo `<key>.npy`, its annotation vectors (L, D) as float16, by a frozen backbone.

`index.parquet` has a row a photo, with all of its captions, normalized, and their token ids: vectors are stored once
however many captions a photo has, and tasks/batches/caption_dataset.py makes pairs of them. `statistics.json` holds the
sums of the training split, `quarantine.parquet` the captions and photos that cannot be used.
"""

import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from models.backbones.annotation_vectors import Backbone
from tasks.features.backbone_weights import load_backbone
from tasks.features.extract_features import unusable_text
from tasks.features.feature_shards import FeatureSums, finish_shard, merge_parts, reject_row, statistics_name, to_npy
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor, resize_photo
from tasks.images.photo import BadPhoto, open_photo
from tasks.ingest import tar
from tasks.ingest.photos.photo_shard import BOX
from tasks.ingest.shard_index import read_shard_rows
from tasks.steps.parquet_io import to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TextTokenizer, load_tokenizer

PHOTOS_AT_ONCE = 16  # the backbone looks at
IMAGE_INDEX = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "shard": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "frames": pa.int32(),  # L
        "width": pa.int32(),  # of the photo, upright
        "height": pa.int32(),
        "boxes": pa.list_(BOX),  # of objects, where the corpus knows them
        "captions": pa.list_(pa.string()),  # normalized
        "token_ids": pa.list_(pa.list_(pa.int32())),  # of each
        "source": pa.string(),
    }
)


@step
def extract_image_features(
    shards: Artifact, tokenizer: Artifact, front_end: ImageFrontEnd, error_budget: float
) -> Artifact:
    """Annotation vectors and token ids of every split of `shards`. An earlier run's finished shards are kept.

    front_end: as `prepare_front_end` gives it, so that the weights are part of the step's key. Raises UserError where
    more than `error_budget` of a split's captions cannot be used.
    """
    if not front_end.digest:
        raise ValueError("a front end is prepared first: its weights are found, and known by their digest")
    load_backbone(front_end)  # what is wrong with it is told here, in a line, not by every worker
    out = open_draft("features", extract_image_features.key(shards, tokenizer, front_end, error_budget)[:32])
    done, names = out.finished(), shards.names(".tar")
    told = {"shards": shards.digest, "tokenizer": tokenizer.digest, "out": out.uri}
    jobs: list[Job] = [{"shard": name, **told} for name in names if statistics_name(name) not in done]
    for _ in run_jobs(ImageFeatureExtractor, jobs, "features", (json.dumps(asdict(front_end)),)):
        pass
    return merge_parts(out, names, IMAGE_INDEX, error_budget)


class ImageFeatureExtractor:
    """What a worker has: the backbone, for all of its shards."""

    def __init__(self, front_end: str) -> None:
        self.front_end = ImageFrontEnd(**json.loads(front_end))
        self.backbone = load_backbone(self.front_end)

    def __call__(self, job: Job) -> Job:
        """One shard, and how many photos it has."""
        shards, out, name = Artifact("shards", job["shards"]), Draft("features", job["out"]), job["shard"]
        tokens = load_tokenizer(Artifact("tokenizer", job["tokenizer"]))
        index: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        sums = FeatureSums()
        usable = list(_usable_rows(read_shard_rows(shards, name), tokens, rejects))
        with out.writing(name) as file, tar.SampleWriter(file) as target:
            for begin in range(0, len(usable), PHOTOS_AT_ONCE):
                some = self._opened(shards.file(name), usable[begin : begin + PHOTOS_AT_ONCE], rejects)
                vectors = annotate_photos(self.backbone, [pixels for _, pixels in some], self.front_end)
                for (row, _), annotations in zip(some, vectors, strict=True):
                    index.append(_append(target, row, annotations))
                    if row["split"] == "train":
                        sums.add(annotations)
        finish_shard(out, name, to_table(index, IMAGE_INDEX), rejects, sums)
        return {"photos": len(index)}

    def _opened(
        self, shard: Path, rows: list[dict[str, Any]], rejects: list[dict[str, Any]]
    ) -> list[tuple[dict[str, Any], np.ndarray]]:
        found = []
        with shard.open("rb") as file:
            for row in rows:
                data = photo_bytes(os.pread(file.fileno(), row["size"], row["offset"]))
                try:
                    found.append((row, resize_photo(open_photo(data), self.front_end)))
                except BadPhoto as bad:
                    rejects.append(reject_row(row, bad.reason, bad.detail))
        return found


@torch.inference_mode()
def annotate_photos(backbone: Backbone, photos: list[np.ndarray], front_end: ImageFrontEnd) -> np.ndarray:
    """Pixels (size, size, 3) of photos to annotation vectors (B, L, D), float16. Raises UserError where they are no
    numbers that float16 holds.
    """
    if not photos:
        return np.empty((0, front_end.places, front_end.annotation_size), np.float16)
    pixels = photo_tensor(photos, front_end).to(next(backbone.parameters()).device)
    vectors = backbone(pixels).half().cpu()
    if not vectors.isfinite().all():
        raise UserError(f"{front_end.backbone} gives values that are no numbers: see features.weights")
    return np.ascontiguousarray(vectors.numpy())


def photo_bytes(region: bytes) -> bytes:
    """The photo in a sample's region of a shard."""
    return next(data for name, data in tar.members(io.BytesIO(region)) if not name.endswith(".json"))


def _usable_rows(
    rows: list[dict[str, Any]], tokens: TextTokenizer, rejects: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows with the captions that a model can learn from; the others, and photos without any, go to `rejects`."""
    for row in rows:
        kept = []
        for caption in row["captions"] or ():
            text = normalize_text(caption, tokens.text)
            reason = unusable_text(text, row | {"text": caption}, tokens) if text else ("empty caption", caption)
            if reason:
                rejects.append(reject_row(row, *reason))
            else:
                kept.append(text)
        if kept:
            yield row | {"captions": kept, "token_ids": [tokens.encode(text) for text in kept]}
        elif not row["captions"]:
            rejects.append(reject_row(row, "photo without captions", ""))


def _append(shard: tar.SampleWriter, row: dict[str, Any], annotations: np.ndarray) -> dict[str, Any]:
    offset, size = shard.write(row["key"], {"npy": to_npy(annotations)})
    return {name: row[name] for name in IMAGE_INDEX.names if name in row} | {
        "offset": offset,
        "size": size,
        "frames": len(annotations),
    }
