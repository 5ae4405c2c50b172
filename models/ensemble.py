"""Several translators, captioners or spellers that write one text together.

Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215), section 3.6: five networks of other beginnings.

p(y_i | x, y_<i) is the mean of theirs (models/search/attention/ensemble_decoder.py). They may be of different
architectures; they read the same sources and write one vocabulary.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Memory, Padded, State, Step
from models.registry import build
from models.search.attention.ensemble_decoder import EnsembleDecoder, Mean


@dataclass(frozen=True, kw_only=True)
class Config:
    """members: architecture and options of each, as `models.registry.describe_config` has them."""

    members: tuple[dict[str, Any], ...] = 5 * ({"architecture": "seq2seq", "options": {}},)
    mean: Mean = "probabilities"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(json.loads(json.dumps(self.members))))  # equal to what JSON brings
        if not self.members or self.mean not in get_args(Mean):
            raise ValueError(f"an ensemble has a member or more, and mean is one of {', '.join(get_args(Mean))}")
        for member in self.members:
            if not isinstance(member, dict) or member.keys() != {"architecture", "options"}:
                raise ValueError("a member of an ensemble has an architecture and options")
            if member["architecture"] == __name__.rpartition(".")[2]:
                raise ValueError("a member of an ensemble is no ensemble")

    def build(self, source_size: int, target_size: int) -> "Ensemble":
        kinds = [(member["architecture"], member["options"]) for member in self.members]
        return Ensemble(self, [build(*kind, source_size, target_size) for kind in kinds])


class Ensemble(SequenceToSequence):
    def __init__(self, config: Config, members: Sequence[nn.Module]) -> None:
        """Raises ValueError for a member that writes no token after token, or whose search is more than that."""
        super().__init__()
        self.config = config
        for told, member in zip(config.members, members, strict=True):
            if not isinstance(member, SequenceToSequence) or type(member).search is not SequenceToSequence.search:
                raise ValueError(f"{told['architecture']} cannot write a text together with other models")
        self.members = nn.ModuleList(members)
        self.reads = self._writers[0].reads
        if any(member.reads != self.reads for member in self._writers):
            raise ValueError("an ensemble's members read the same: either tokens, or frames")
        self.longest = min((m.longest for m in self._writers if m.longest is not None), default=None)

    @property
    def _writers(self) -> list[SequenceToSequence]:
        return [member for member in self.members if isinstance(member, SequenceToSequence)]

    @property
    def _together(self) -> EnsembleDecoder:
        return EnsembleDecoder(self._writers, self.config.mean)

    def set_updates(self, updates: int) -> None:
        super().set_updates(updates)
        for member in self._writers:
            member.set_updates(updates)

    def encode(self, source: Padded | None) -> Memory:
        return self._together.encode(source)

    def start(self, memory: Memory | None, batch_size: int) -> State:
        return self._together.start(memory, batch_size)

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        return self._together.step(tokens, state, memory)

    def predict(self, memory: Memory, read: Padded) -> Tensor:
        pairs = zip(self._writers, memory.data, strict=True)
        return self._together.mean_of([member.predict(own, read).log_softmax(-1) for member, own in pairs])

    def limits(self, source: Padded) -> Tensor:
        """The least of theirs."""
        return torch.stack([member.limits(source) for member in self._writers]).amin(0)
