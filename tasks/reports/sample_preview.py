"""A sample of the shards on a page: a clip to play, a text to read."""

import pyarrow.parquet as pq
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.ingest.shard_format import TEXT, read_sample
from tasks.ingest.shard_index import shard_file
from tasks.reports.html_page import to_base64

MEDIA = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}
LONGEST_TEXT = 2000  # characters; of a longer one the beginning is shown


def render_sample(shards: Artifact, key: str) -> Markup:
    """HTML; empty for a clip that browsers do not play."""
    row = pq.read_table(shards.file("index.parquet"), filters=[("key", "==", key)]).to_pylist()[0]
    if row["extension"] not in {*MEDIA, TEXT}:
        return Markup("")
    with shard_file(shards, row["shard"]).open("rb") as file:
        file.seek(row["offset"])
        data = read_sample(file.read(row["size"])).data
    if row["extension"] == TEXT:
        text = data.decode()
        cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}\u2026"
        return Markup("<div dir=auto style='white-space:pre-wrap;overflow-wrap:anywhere'>{}</div>").format(cut)
    clip = Markup("<audio controls preload=none src='data:{};base64,{}'></audio>")
    return clip.format(MEDIA[row["extension"]], to_base64(data))
