"""The features of a data set's version: an index over the frames of all its shards, with its own texts and splits.

What training, decoding and reports take in the place of what `extract_features` makes of one corpus; no clip and no
frame is read for it. Token ids stand in the index, so that a mended transcript touches no sound.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models.criteria.ctc import min_input_length
from models.interface import Padded
from tasks.corpora.utterance import QUARANTINE
from tasks.datasets.compact_frames import compact_small
from tasks.datasets.mix_corpora import NO_MIX, MixConfig, Origin, mix_weights
from tasks.datasets.version_index import Row, shards_of
from tasks.features.extract_clip_features import extract_clip_features
from tasks.features.extract_features import INDEX, unusable_text
from tasks.features.feature_shards import charge_rejects, reject_row
from tasks.features.front_end import FrontEnd
from tasks.ingest.shard_index import shard_reference
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TextTokenizer, load_tokenizer

FEATURE_INDEX = pa.schema([*INDEX, ("token_ids", pa.list_(pa.int32())), ("weight", pa.float64())])


def extract_version_features(version: Artifact, front_end: FrontEnd) -> tuple[Artifact, ...]:
    """Of each of the shards that the version points into; those that an earlier version had are there already. Small
    ones are put together (tasks/datasets/compact_frames.py).
    """
    rows = pq.read_table(version.file("index.parquet"), columns=["shard"]).to_pylist()
    return compact_small([extract_clip_features(shards, front_end) for shards in shards_of(rows)])


@step
def assemble_features(
    version: Artifact,
    frames: tuple[Artifact, ...],
    tokenizer: Artifact,
    error_budget: float,
    mix: MixConfig = NO_MIX,
) -> Artifact:
    """Features of the version's rows, those that are left out excepted. version: or what `exclude_leaks` made.

    frames: of `extract_version_features`. Raises UserError where more than `error_budget` of a split has no usable
    text.
    """
    tokens = load_tokenizer(tokenizer)
    stored = _Frames(frames)
    kept: list[Row] = []
    rejects: list[Row] = []
    origins: list[Origin | None] = []
    for row in pq.read_table(version.file("index.parquet")).to_pylist():
        if not row["split"]:
            continue
        text = normalize_text(row["text"], tokens.text)
        if reason := unusable_text(text, row, tokens):
            rejects.append(reject_row(row, *reason))
        else:
            kept.append(_row(row, text, tokens, stored.find(row)))
            origins.append((row.get("corpus", 0), row.get("fresh", True)) if row["split"] == "train" else None)
    schema = FEATURE_INDEX if mix != NO_MIX else FEATURE_INDEX.remove(FEATURE_INDEX.get_field_index("weight"))
    for row, weight in zip(kept, mix_weights(origins, mix), strict=True):
        row["weight"] = weight
    index, quarantine = to_table(kept, schema), to_table(rejects, QUARANTINE)
    charge_rejects(index["split"].to_pylist(), quarantine, error_budget)
    with new_draft("features") as out:
        out.put("index.parquet", to_parquet(index))
        out.put("quarantine.parquet", to_parquet(quarantine))
        out.put_json("statistics.json", stored.statistics([row for row in kept if row["split"] == "train"]))
    return out.result()


def _row(row: Row, text: str, tokens: TextTokenizer, place: Row) -> Row:
    ids = tokens.encode(text)
    same = {name: row[name] for name in ("key", "split", "seconds", "speaker", "source")}
    needed = int(min_input_length(Padded.stack([torch.tensor(ids, dtype=torch.long)])))
    told = {"tokens": len(ids), "steps_needed": needed, "text": text, "token_ids": ids}
    return same | place | told


class _Frames:
    """Where the frames of each sample lie, and their sums."""

    def __init__(self, frames: tuple[Artifact, ...]) -> None:
        self.places: dict[tuple[str, int], Row] = {}
        self.sums: dict[tuple[str, int], tuple[int, list[float], list[float]]] = {}
        for one in frames:
            for row in pq.read_table(one.file("index.parquet")).to_pylist():
                shard = shard_reference(one, row["shard"])
                self.places[row["sample_shard"], row["sample_offset"]] = {
                    "shard": shard,
                    "offset": row["offset"],
                    "size": row["size"],
                    "frames": row["frames"],
                }
                self.sums[shard, row["offset"]] = row["frames"], row["sum"], row["squares"]

    def find(self, row: Row) -> Row:
        if found := self.places.get((row["shard"], row["offset"])):
            return found
        raise UserError(f"no frames of {row['source']} in {row['shard']}; give those of all of the version's shards")

    def statistics(self, rows: list[Row]) -> dict[str, Any]:
        """As `extract_features` has them; {} where there are no rows."""
        sums = [self.sums[row["shard"], row["offset"]] for row in rows]
        if not sums:
            return {}
        frames, totals, squares = zip(*sums, strict=True)
        return {
            "frames": int(sum(frames)),
            "sum": np.sum(totals, axis=0).tolist(),
            "squares": np.sum(squares, axis=0).tolist(),
        }
