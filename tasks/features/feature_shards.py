"""What feature shards have in common, of whatever they are made: a part for each shard, merged into one index, one
quarantine and the sums of the training split that a normalizer is made of.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from infra.artifact_store import Artifact, Draft
from infra.errors import UserError
from tasks.corpora.utterance import QUARANTINE
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table

UNKNOWN_LABEL = "label missing from training"


class FeatureSums:
    """Of frames or annotation vectors (T, D) of the training split."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}

    def add(self, frames: np.ndarray) -> None:
        exact = frames.astype(np.float64)
        for name, value in (("frames", len(exact)), ("sum", exact.sum(0)), ("squares", (exact**2).sum(0))):
            self.sums[name] = self.sums.get(name, 0) + value

    def add_part(self, part: dict[str, Any]) -> None:
        """What `described` gave of others."""
        for name, value in part.items():
            self.sums[name] = self.sums.get(name, 0) + (value if name == "frames" else np.asarray(value))

    def described(self) -> dict[str, Any]:
        """As JSON; nothing where there was nothing."""
        return {name: value if name == "frames" else value.tolist() for name, value in self.sums.items()}


def statistics_name(shard: str) -> str:
    """The file that a shard is finished with."""
    return f"parts/{shard}.statistics.json"


def to_npy(array: np.ndarray) -> bytes:
    """The content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def reject_row(row: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    """Its row in the quarantine."""
    same = {name: row[name] for name in ("source", "split", "sha256")}
    return same | {"stage": "features", "reason": reason, "detail": detail}


def finish_shard(out: Draft, shard: str, index: pa.Table, rejects: list[dict[str, Any]], sums: FeatureSums) -> None:
    """A shard's index, rejects and sums, in this order, so that the sums mark it as finished."""
    out.put(f"parts/{shard}.index.parquet", to_parquet(index))
    out.put(f"parts/{shard}.rejects.parquet", to_parquet(to_table(rejects, QUARANTINE)))
    out.put_json(statistics_name(shard), sums.described())


def merge_parts(out: Draft, shards: list[str], schema: pa.Schema, error_budget: float) -> Artifact:
    """The features of all shards. Raises UserError as `charge_rejects` does."""
    tables: dict[str, pa.Table] = {}
    for table, part, form in (("index", "index", schema), ("quarantine", "rejects", QUARANTINE)):
        parts = [from_parquet(out.read(f"parts/{name}.{part}.parquet")) for name in shards]
        tables[table] = pa.concat_tables(parts) if parts else form.empty_table()
        out.put(f"{table}.parquet", to_parquet(tables[table]))
    charge_rejects(_splits(tables["index"]), tables["quarantine"], error_budget)
    sums = FeatureSums()
    for name in shards:
        sums.add_part(json.loads(out.read(statistics_name(name))))
    out.put_json("statistics.json", sums.described())
    for name in out.finished():
        if name.startswith("parts/"):
            out.remove(name)
    return out.commit({*shards, "index.parquet", "quarantine.parquet", "statistics.json"})


def _splits(index: pa.Table) -> list[str]:
    """Of each that could be rejected: a row, or each of its captions."""
    splits = index["split"].to_pylist()
    if "captions" not in index.schema.names:
        return splits
    return [split for split, texts in zip(splits, index["captions"].to_pylist(), strict=True) for _ in texts]


def charge_rejects(splits: Iterable[str], quarantine: pa.Table, error_budget: float) -> None:
    """Raises UserError where more of a split is in the quarantine than the budget allows. splits: of what is kept."""
    kept, rejected = Counter(splits), Counter(quarantine["split"].to_pylist())
    for split, count in rejected.items():
        if count > error_budget * (count + kept[split]):
            first = quarantine.filter(pa.array([s == split for s in quarantine["split"].to_pylist()])).to_pylist()[0]
            unknown = first["reason"] == UNKNOWN_LABEL
            hint = "give training rows that have it" if unknown else "see tokens.text"
            raise UserError(
                f"split {split}: {count} of {count + kept[split]} rows cannot be used (first {first['source']}: "
                f"{first['reason']}, {first['detail']}), the budget is {error_budget:.0%}; {hint}, or raise "
                "--set ingest.error_budget"
            )
