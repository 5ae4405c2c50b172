"""How long a training took: noted beside the artifacts, for a bundle has the same bytes on a slow machine as on a fast.

<root>/.clocks/training-<key>.json         left when a training ends, under the key that its draft was named by
"""

import json
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from infra import storage
from infra.artifact_store import Draft, open_draft
from infra.settings import settings
from tasks.steps.run_facts import describe_machine


@dataclass(frozen=True, kw_only=True)
class TrainingTime:
    """Of all updates together, without start-up and evaluation: seconds by the clock, and by the cores of the first
    worker, which on a busy machine are the same as on an idle one.
    """

    seconds: float
    core_seconds: float
    updates: int


class TrainingRecord(NamedTuple):
    """ended: seconds since 1970. machine: that of the run in which it ended. workers: of that run, 0 for none of Ray's.
    Earlier notes say none of this.
    """

    clock: TrainingTime
    ended: float = 0.0
    machine: str = ""
    workers: int | None = None


def save_time(draft: Draft, workers: int | None = None) -> None:
    """Keep what a training's last `progress.json` tells of its time, with when and where it ended."""
    told = json.loads(draft.read("progress.json"))
    clock = TrainingTime(seconds=told["seconds"], core_seconds=told["core_seconds"], updates=told["step"])
    where = {"ended": time.time(), "machine": describe_machine(), "workers": workers}
    storage.write(_place(draft), json.dumps(asdict(clock) | where).encode())


def load_time(key: str) -> TrainingTime | None:
    """The clock of the training step with this key; None where somebody has taken it away."""
    record = load_record(key)
    return record and record.clock


def load_record(key: str) -> TrainingRecord | None:
    """The same with when and where it ended."""
    try:
        told = json.loads(storage.read(_place(open_draft("training", key[:32]))))
    except FileNotFoundError:
        return None
    clock = TrainingTime(**{field.name: told[field.name] for field in fields(TrainingTime)})
    where = {name: told[name] for name in TrainingRecord._fields if name in told}
    return TrainingRecord(clock, **where)


def load_progress(key: str) -> dict[str, Any]:
    """Where the training with this key stands: its `progress.json`, empty where it is not under way."""
    try:
        return json.loads(open_draft("training", key[:32]).read("progress.json"))
    except FileNotFoundError:
        return {}


def _place(draft: Draft) -> str:
    return storage.join(settings().root, ".clocks", f"{draft.uri.rsplit('/', 1)[-1]}.json")
