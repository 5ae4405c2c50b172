"""Shards of a few photos with captions, written for a test."""

import hashlib
import io

import numpy as np
import pyarrow as pa
from PIL import Image

from infra.artifact_store import new_draft
from tasks.ingest import tar
from tasks.steps.parquet_io import to_parquet

INDEX = pa.schema(
    {
        **{name: pa.string() for name in ("key", "split", "shard", "source", "sha256", "extension")},
        **{name: pa.int64() for name in ("offset", "size")},
        **{name: pa.int32() for name in ("width", "height")},
        "captions": pa.list_(pa.string()),
        "text": pa.string(),
    }
)


def photo(number, width=40, height=30, format="PNG"):
    """The bytes of a photo that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (3, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def write_photo_shards(rows, per_shard=3):
    """A shards artifact of rows (split, captions, bytes)."""
    index = []
    with new_draft("shards") as out:
        for begin in range(0, len(rows), per_shard):
            name, file = f"shard-{begin // per_shard:05d}.tar", io.BytesIO()
            with tar.SampleWriter(file) as shard:
                for i, (split, captions, data) in enumerate(rows[begin : begin + per_shard], begin):
                    key = f"photo{i:03d}"
                    offset, size = shard.write(key, {"png": data, "json": b"{}"})
                    told = {"key": key, "split": split, "shard": name, "offset": offset, "size": size}
                    told |= {"source": f"{key}.png", "sha256": hashlib.sha256(data).hexdigest(), "extension": "png"}
                    index.append(
                        told | {"width": 40, "height": 30, "captions": captions, "text": (captions or [""])[0]}
                    )
            out.put(name, file.getvalue())
        out.put("index.parquet", to_parquet(pa.Table.from_pylist(index, INDEX)))
    return out.result()
