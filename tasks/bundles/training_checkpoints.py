"""Where a training run stands, stored so that it goes on from there after anything, with any number of workers.

Files in the draft of the run: `state-<step>.pt` (everything to continue), `best-<epoch>.pt` and `epoch-<epoch>.pt`
(weights alone). A new state is whole before an old one goes.
"""

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from infra.artifact_store import Draft

Weights = dict[str, Tensor]


@dataclass
class TrainState:
    """epoch, batch: the plan's batch that comes next. step: updates so far. group: batches an update takes.
    history: a row of metrics for each finished epoch. best: of them, by the dev metric.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    group: int = 1
    total: float = 0.0  # nats and tokens of this epoch so far
    count: float = 0.0
    wild: int = 0  # updates in a row without a finite gradient
    seconds: float = 0.0  # of all updates so far, by the clock; evaluation is not in them
    core_seconds: float = 0.0  # the same by the cores of the first worker
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


def save(draft: Draft, standing: TrainState, parts: dict[str, Any], streams: dict[int, Any]) -> None:
    """Store the standing with the state dicts of `parts` (model, optimizer, schedule), then drop older ones.

    streams: the states that carried streams have reached, none at the end of an epoch.
    """
    name = f"state-{standing.epoch:05}-{standing.batch:08}.pt"
    states = {key: part.state_dict() for key, part in parts.items() if part is not None}
    draft.put(name, to_bytes({"standing": vars(standing), "streams": streams, **states}))
    for old in _states(draft):
        if old < name:
            draft.remove(old)


def latest(draft: Draft) -> dict[str, Any] | None:
    """The newest stored state: `standing`, `streams` and the state dicts."""
    states = _states(draft)
    return from_bytes(draft.read(states[-1])) if states else None


def keep_weights(draft: Draft, kind: str, epoch: int, weights: Weights, count: int) -> None:
    """Store weights as `<kind>-<epoch>.pt`; only the newest `count` of a kind stay."""
    draft.put(f"{kind}-{epoch:05}.pt", to_bytes(weights))
    for old in _weights(draft, kind)[:-count]:
        draft.remove(old)


def select_weights(draft: Draft, average_last: int) -> Weights:
    """The best weights, or the mean of the last epochs'."""
    names = _weights(draft, "epoch")[-average_last:] if average_last else _weights(draft, "best")[-1:]
    every = [from_bytes(draft.read(name)) for name in names]
    return {key: _mean([weights[key] for weights in every]) for key in every[0]}


def _mean(tensors: list[Tensor]) -> Tensor:
    if len(tensors) == 1 or not tensors[0].is_floating_point():
        return tensors[-1]
    return torch.stack([t.double() for t in tensors]).mean(0).to(tensors[0].dtype)


def to_bytes(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """Raises ValueError for what `to_bytes` does not write: another format, or one that is more once it is read."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        raise ValueError("not a file that torch.save writes, or cut off")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        inside = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in inside) or sum(i.file_size for i in inside) > len(data):
        raise ValueError("its content is larger than the file, which torch.save does not write")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _states(draft: Draft) -> list[str]:
    return sorted(name for name in draft.finished() if name.startswith("state-"))


def _weights(draft: Draft, kind: str) -> list[str]:
    return sorted(name for name in draft.finished() if name.startswith(f"{kind}-"))
