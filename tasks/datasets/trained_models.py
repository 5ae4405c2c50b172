"""Which registered models were trained on given clips: whoever withdraws has a right to know."""

from collections.abc import Collection
from typing import NamedTuple

import pyarrow.parquet as pq

from infra.artifact_store import Artifact
from infra.artifacts.registry import registered_versions
from tasks.datasets.version_index import KIND, retracted_clips

DATA = {KIND: "clip_sha256", "shards": "sha256"}  # what models were trained on, and the column that names a clip


class TrainedModel(NamedTuple):
    """clips: how many of those asked for; None where its data is no longer in the store."""

    name: str
    version: str
    run_id: str
    data: str
    clips: int | None


def models_trained_on(clips: Collection[str]) -> list[TrainedModel]:
    """Every version of every registered model whose training split had one of these clips, by their SHA-256; those of
    which nobody can say any more too. Raises UserError where there is no registry.
    """
    found, counted = list[TrainedModel](), dict[Artifact, int | None]()
    for one in registered_versions():
        for kind, column in DATA.items():
            if digest := one.digests.get(kind):
                data = Artifact(kind, digest)
                if data not in counted:
                    counted[data] = _count(data, column, set(clips))
                if counted[data] != 0:
                    found.append(TrainedModel(one.name, one.version, one.run_id, str(data), counted[data]))
    return found


def _count(data: Artifact, column: str, clips: set[str]) -> int | None:
    if not data.exists():
        return None
    rows = pq.read_table(data.file("index.parquet"), columns=[column], filters=[("split", "==", "train")])
    return len(clips.intersection(rows[column].to_pylist()))


def models_to_retrain(version: Artifact) -> list[TrainedModel]:
    """Those that were trained on clips that were withdrawn. Raises UserError where there is no registry to ask."""
    clips = retracted_clips(version)
    return models_trained_on(clips) if clips else []
