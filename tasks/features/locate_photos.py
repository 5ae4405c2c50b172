"""Features of photos whose index leads to the photos, where a backbone learns and its vectors cannot be stored."""

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, new_draft
from tasks.ingest.shard_index import shard_reference
from tasks.steps.parquet_io import to_parquet
from tasks.steps.pipeline_step import step

PLACE = ("shard", "offset", "size")


@step
def locate_photos(features: Artifact, shards: Artifact) -> Artifact:
    """Of what `extract_image_features` made of these shards the same rows, statistics and quarantine, without the
    vectors: the place of each row is that of its photo.
    """
    index = pq.read_table(features.file("index.parquet"))
    photos = pq.read_table(shards.file("index.parquet"), columns=["key", *PLACE]).to_pylist()
    places = {row["key"]: row | {"shard": shard_reference(shards, row["shard"])} for row in photos}
    for name in PLACE:
        column = pa.array([places[key][name] for key in index["key"].to_pylist()], index.schema.field(name).type)
        index = index.set_column(index.schema.get_field_index(name), index.schema.field(name), column)
    with new_draft("features") as out:
        out.put("index.parquet", to_parquet(index))
        for name in ("quarantine.parquet", "statistics.json"):
            out.put(name, features.read(name))
    return out.result()
