"""How long a training took: noted beside the artifacts, for a bundle has the same bytes on a slow machine as on a fast.

<root>/.clocks/training-<key>.json         left when a training ends, under the key that its draft was named by
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from infra import storage
from infra.artifact_store import Draft, open_draft
from infra.settings import settings


@dataclass(frozen=True, kw_only=True)
class TrainingTime:
    """Of all updates together, without start-up and evaluation: seconds by the clock, and by the cores of the first
    worker, which on a busy machine are the same as on an idle one.
    """

    seconds: float
    core_seconds: float
    updates: int


def save_time(draft: Draft) -> None:
    """Keep what a training's last `progress.json` tells of its time."""
    told = json.loads(draft.read("progress.json"))
    clock = TrainingTime(seconds=told["seconds"], core_seconds=told["core_seconds"], updates=told["step"])
    storage.write(_place(draft), json.dumps(asdict(clock)).encode())


def load_time(key: str) -> TrainingTime | None:
    """The clock of the training step with this key; None where somebody has taken it away."""
    try:
        return TrainingTime(**json.loads(storage.read(_place(open_draft("training", key[:32])))))
    except FileNotFoundError:
        return None


def load_progress(key: str) -> dict[str, Any]:
    """Where the training with this key stands: its `progress.json`, empty where it is not under way."""
    try:
        return json.loads(open_draft("training", key[:32]).read("progress.json"))
    except FileNotFoundError:
        return {}


def _place(draft: Draft) -> str:
    return storage.join(settings().root, ".clocks", f"{draft.uri.rsplit('/', 1)[-1]}.json")
