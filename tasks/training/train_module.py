"""The network as the loop trains it: on each batch alone, or on streams whose state goes on from batch to batch.

An update takes a group of batches; the k-th of a group goes on where the k-th of the group before ended, on the same
worker. What a resumed run needs of that is the states between the chunks that the next gradient still reaches.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.interface import Batch, LanguageModel, Loss, Model, State
from models.layers.decoder.scheduled_sampling import Scheduled
from models.layers.truncated_bptt import CarriedChunks, run_window
from models.search.state_pytree import tree_fill, tree_leaves, tree_map
from tasks.training.optimizer import Precision

Stored = dict[int, list[list[Tensor] | None]]  # by the place in the group: the leaves of each state, the oldest first


class StreamModule(nn.Module):
    """What DistributedDataParallel wraps: a window of chunks to the last one's loss and the state after it."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, window: list[Batch], root: State | None) -> tuple[Loss, State]:
        return run_window(cast("LanguageModel", self.model), window, root)


class RunningStatistics:
    """A model's buffers over the batches of one update: each batch begins with what was there before the update, after
    which they have moved by the mean of what the batches moved them, whichever worker did which.
    """

    def __init__(self, model: nn.Module, batches: int, workers: int) -> None:
        self.batches, self.workers = batches, workers
        self.buffers = list(model.buffers()) if max(batches, workers) > 1 else []  # one batch alone moves its own
        self.before = self._flat()
        self.moved = [torch.zeros_like(value) for value in self.before]

    def collect(self, *, counts: bool) -> None:
        """After a batch. counts: false where it is another worker's too."""
        for moved, now, before in zip(self.moved, self._flat(), self.before, strict=True):
            moved += (now - before) * counts
        self._put(self.before)

    def settle(self) -> None:
        """After all the batches of the update. Every worker has to call it."""
        if self.workers > 1:
            for moved in self.moved:
                dist.all_reduce(moved)
        self._put([b + m / self.batches for b, m in zip(self.before, self.moved, strict=True)])

    def _flat(self) -> list[Tensor]:
        """All of them as one float64 tensor, in a list that is empty where there are none."""
        every = [buffer.detach().double().flatten() for buffer in self.buffers]
        return [torch.cat(every)] if every else []

    def _put(self, values: list[Tensor]) -> None:
        for value in values:
            parts = value.split([buffer.numel() for buffer in self.buffers])
            for buffer, part in zip(self.buffers, parts, strict=True):
                buffer.copy_(part.view_as(buffer))


class TrainModule:
    """A model on one of `workers` workers. reach: as in `TrainJob`, 0 where nothing is carried."""

    def __init__(self, model: Model, workers: int = 1, reach: int = 0, precision: Precision = "auto") -> None:
        self.model, self.workers, self.reach = model, workers, reach
        self.precision: Precision = precision
        learns = StreamModule(model) if reach else model
        # buffers are those of `RunningStatistics`, the same everywhere
        self.net: nn.Module = DistributedDataParallel(learns, broadcast_buffers=False) if workers > 1 else learns
        self.pasts: dict[int, CarriedChunks] = {}

    def loss(self, batch: Batch, place: int) -> Tensor:
        """Summed nats of the batch at this place of its group."""
        device = batch.target.data.device
        if not self.reach:
            with autocast(self.precision, device):
                return self.net(batch).total
        past = self.pasts.setdefault(place, CarriedChunks(self.reach))
        with autocast(self.precision, device):
            loss, after = self.net(past.window(batch), past.root)
        past.push(batch, after)
        return loss.total

    def begin_update(self, updates: int) -> None:
        """updates: so many there were, in this run and those that it goes on from."""
        if isinstance(self.model, Scheduled):
            self.model.set_updates(updates)

    def begin_epoch(self) -> None:
        """Its streams start anew."""
        self.pasts.clear()

    def stored(self) -> Stored:
        """The states of all the workers' streams. Every worker has to ask."""
        mine: Stored = {}
        for place, past in self.pasts.items():
            states = (*(state for state, _ in past.chunks), past.state)
            mine[place] = [None if s is None else [leaf.cpu() for leaf in tree_leaves(s)] for s in states]
        if self.workers == 1:
            return mine
        every: list[Stored] = [{}] * self.workers
        dist.all_gather_object(every, mine)
        return {place: states for told in every for place, states in told.items()}

    def restore(self, stored: Stored, batch_before: Callable[[int, int], Batch], device: torch.device) -> None:
        """batch_before(place, k): the batch k groups back at a place. Streams of other workers do no harm."""
        for place, states in stored.items():
            trees = [None if tensors is None else self._state(tensors, device) for tensors in states]
            past = self.pasts[place] = CarriedChunks(self.reach, trees[-1])
            past.chunks = [(tree, batch_before(place, len(trees) - 1 - k)) for k, tree in enumerate(trees[:-1])]

    def _state(self, tensors: list[Tensor], device: torch.device) -> Any:
        self.model.train()  # a state may hold what is drawn in training only
        like = cast("LanguageModel", self.model).start(None, 1)
        return tree_map(lambda leaf: leaf.to(device), tree_fill(like, tensors))


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """What runs within takes matrix products in this precision, as `FitConfig.precision` has it."""
    low = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=low)
