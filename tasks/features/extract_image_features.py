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
from tasks.corpora.utterance import QUARANTINE
from tasks.features.backbone_weights import load_backbone
from tasks.features.extract_features import charge_rejects, statistics_name, to_npy, unusable_text
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor, resize_photo
from tasks.images.photo import BadPhoto, open_photo
from tasks.ingest import tar
from tasks.ingest.photos.photo_shard import BOX
from tasks.ingest.shard_index import read_shard_rows
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
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
    return _merge(out, names, error_budget)


class ImageFeatureExtractor:
    """What a worker has: the backbone, for all of its shards."""

    def __init__(self, front_end: str) -> None:
        self.front_end = ImageFrontEnd(**json.loads(front_end))
        self.backbone = load_backbone(self.front_end)

    def __call__(self, job: Job) -> Job:
        """One shard: its features, index, rejects and sums, in this order, so that the sums mark it as finished."""
        shards, out, name = Artifact("shards", job["shards"]), Draft("features", job["out"]), job["shard"]
        tokens = load_tokenizer(Artifact("tokenizer", job["tokenizer"]))
        index: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        sums = Sums()
        usable = list(_usable_rows(read_shard_rows(shards, name), tokens, rejects))
        with out.writing(name) as file, tar.SampleWriter(file) as target:
            for begin in range(0, len(usable), PHOTOS_AT_ONCE):
                some = self._opened(shards.file(name), usable[begin : begin + PHOTOS_AT_ONCE], rejects)
                vectors = annotate_photos(self.backbone, [pixels for _, pixels in some], self.front_end)
                for (row, _), annotations in zip(some, vectors, strict=True):
                    index.append(_append(target, row, annotations))
                    if row["split"] == "train":
                        sums.add(annotations)
        out.put(f"parts/{name}.index.parquet", to_parquet(to_table(index, IMAGE_INDEX)))
        out.put(f"parts/{name}.rejects.parquet", to_parquet(to_table(rejects, QUARANTINE)))
        out.put_json(statistics_name(name), sums.told())
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
                    rejects.append(_reject(row, bad.reason, bad.detail))
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


class Sums:
    """Of the annotation vectors of the training split: what a normalizer is made of."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, np.zeros(0), np.zeros(0)

    def add(self, annotations: np.ndarray) -> None:
        """Annotation vectors (L, D) of one more photo."""
        exact = annotations.astype(np.float64)
        self.count += len(exact)
        if not self.sum.size:
            self.sum, self.squares = np.zeros(exact.shape[1]), np.zeros(exact.shape[1])
        self.sum += exact.sum(0)
        self.squares += np.einsum("ld,ld->d", exact, exact)

    def told(self) -> dict[str, Any]:
        """As JSON; nothing where there was nothing."""
        if not self.count:
            return {}
        return {"frames": self.count, "sum": self.sum.tolist(), "squares": self.squares.tolist()}


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
                rejects.append(_reject(row, *reason))
            else:
                kept.append(text)
        if kept:
            yield row | {"captions": kept, "token_ids": [tokens.encode(text) for text in kept]}
        elif not row["captions"]:
            rejects.append(_reject(row, "photo without captions", ""))


def _append(shard: tar.SampleWriter, row: dict[str, Any], annotations: np.ndarray) -> dict[str, Any]:
    offset, size = shard.write(row["key"], {"npy": to_npy(annotations)})
    return {name: row[name] for name in IMAGE_INDEX.names if name in row} | {
        "offset": offset,
        "size": size,
        "frames": len(annotations),
    }


def _reject(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    same = {name: row[name] for name in ("source", "split", "sha256")}
    return same | {"stage": "features", "reason": reason, "detail": detail}


def _merge(out: Draft, shards: list[str], error_budget: float) -> Artifact:
    """One index, one quarantine and one set of sums from those of the shards."""
    tables: dict[str, pa.Table] = {}
    for table, part, schema in (("index", "index", IMAGE_INDEX), ("quarantine", "rejects", QUARANTINE)):
        parts = [from_parquet(out.read(f"parts/{name}.{part}.parquet")) for name in shards]
        tables[table] = pa.concat_tables(parts) if parts else schema.empty_table()
        out.put(f"{table}.parquet", to_parquet(tables[table]))
    rows = [{"split": row["split"]} for row in tables["index"].to_pylist() for _ in row["captions"]]
    charge_rejects(pa.Table.from_pylist(rows, pa.schema({"split": pa.string()})), tables["quarantine"], error_budget)
    sums: dict[str, Any] = {}
    for name in shards:
        for key, value in json.loads(out.read(statistics_name(name))).items():
            sums[key] = sums.get(key, 0) + (value if key == "frames" else np.asarray(value))
    out.put_json("statistics.json", {k: v if k == "frames" else v.tolist() for k, v in sums.items()})
    for name in out.finished():
        if name.startswith("parts/"):
            out.remove(name)
    return out.commit({*shards, "index.parquet", "quarantine.parquet", "statistics.json"})
