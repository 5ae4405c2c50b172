"""A model adapted to each speaker without labels: its batch normalization takes statistics of what the speaker says.

Batch normalization learns in which range each feature lies for the speakers of training. Another voice, room or
microphone moves these ranges, and by how much can be measured without knowing what was said (Li et al. 2016,
"Revisiting Batch Normalization For Practical Domain Adaptation"). With few utterances the statistics of training have
their share (Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation").
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from infra.artifact_store import Artifact
from models.interface import Batch, Beam, Model
from tasks.batches.batch_loader import UtteranceDataset, prefetch
from tasks.batches.batch_sampler import BatchingConfig, bucket_by_length
from tasks.features.front_end import CMVN
from tasks.ingest.shard_index import read_index

UNHEARD = Beam(width=1, max_length=1)  # a search that is run for what the encoder hears, not for what it says

MEASURED = BatchingConfig(utterances_per_batch=32)  # of which statistics are taken, whatever a search's batches are

Statistics = list[tuple[Tensor, Tensor]]  # mean and variance of each layer


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """speakers: each speaker of a split is read with statistics of their own; who speaks is what the corpus says, and
    where it says nothing those of training are kept. prior: as many utterances count for the statistics of training.
    sample: of a speaker at most so many utterances are measured.
    """

    speakers: bool = False
    prior: float = 30.0
    sample: int = 200

    def __post_init__(self) -> None:
        if self.prior < 0 or self.sample < 1:
            raise ValueError("adapt.prior is not negative, and adapt.sample is at least 1")

    def check(self, model: Model) -> None:
        """Raises ValueError where the model has nothing to adapt."""
        if self.speakers and not _norms(model):
            raise ValueError("adapt.speakers=true: the model has no batch normalization, whose statistics it replaces")


@dataclass
class Speakers:
    """Those of a split. utterances: all of it, as its index says who speaks. model: in evaluation mode."""

    model: Model
    utterances: UtteranceDataset
    adaptation: AdaptationConfig
    known: dict[str, Statistics] = field(default_factory=dict)  # those who were measured

    @contextmanager
    def heard(self, speaker: str) -> Iterator[None]:
        """Within, the model is adapted to this speaker. Names of nobody in the split leave it as it is."""
        norms = _norms(self.model)
        trained = [(_mean(norm).clone(), _variance(norm).clone()) for norm in norms]
        rows = self._rows.get(speaker)
        if rows is not None and speaker:
            share = len(rows) / (len(rows) + self.adaptation.prior)
            for norm, (mean, variance) in zip(norms, self._measured(speaker), strict=True):
                _mean(norm).lerp_(mean, share)
                _variance(norm).lerp_(variance, share)
        try:
            yield
        finally:
            _restore(norms, trained)

    @cached_property
    def _rows(self) -> dict[str, np.ndarray]:
        names = np.asarray(self.utterances.index["speaker"].to_pylist(), dtype=str)
        order = np.argsort(names, kind="stable")
        found, starts = np.unique(names[order], return_index=True)
        return dict(zip(found.tolist(), np.split(order, starts[1:]), strict=True))

    @torch.no_grad()
    def _measured(self, speaker: str) -> Statistics:
        """The means over batches of the statistics that each batch would be normalized with in training."""
        if speaker in self.known:
            return self.known[speaker]
        rows, norms = self._rows[speaker], _norms(self.model)
        places = np.linspace(0, len(rows) - 1, min(len(rows), self.adaptation.sample))
        chosen = rows[np.unique(places.round().astype(int))]
        trained = [(_mean(norm).clone(), _variance(norm).clone(), norm.momentum) for norm in norms]
        sums = [[torch.zeros_like(mean), torch.zeros_like(variance)] for mean, variance, _ in trained]
        for norm in norms:
            norm.train()
            norm.momentum = 1.0  # the running statistics are then those of the last batch
        try:
            for batch in _batches(self.utterances, chosen, MEASURED):
                self.model.search(batch.to(_mean(norms[0]).device).given, UNHEARD)
                for norm, (mean, variance) in zip(norms, sums, strict=True):
                    mean += _mean(norm) * len(batch.keys) / len(chosen)
                    variance += _variance(norm) * len(batch.keys) / len(chosen)
        finally:
            for norm, (*_, momentum) in zip(norms, trained, strict=True):
                norm.eval()
                norm.momentum = momentum
            _restore(norms, [(mean, variance) for mean, variance, _ in trained])
        return self.known.setdefault(speaker, [(mean, variance) for mean, variance in sums])


def speakers_to_adapt(
    adaptation: AdaptationConfig, model: Model, data: tuple[Artifact, str], normalizer: CMVN
) -> Speakers | None:
    """The speakers to adapt a model to, None for no adaptation. data: features and a split of them."""
    if not adaptation.speakers:
        return None
    return Speakers(model, UtteranceDataset(data[0], read_index(*data), normalizer), adaptation)


def batches_by_speaker(
    utterances: UtteranceDataset, batching: BatchingConfig, speakers: Speakers | None
) -> Iterator[Batch]:
    """All utterances in batches of similar length; of one speaker each, to whom the model is adapted while its batch is
    looked at, where there are speakers to adapt to.
    """
    if speakers is None:
        yield from prefetch(utterances, bucket_by_length(utterances.frames, batching), None)
        return
    names = np.asarray(utterances.index["speaker"].to_pylist(), dtype=str)
    for name in np.unique(names).tolist():
        with speakers.heard(name):
            yield from _batches(utterances, np.flatnonzero(names == name), batching)


def _batches(utterances: UtteranceDataset, rows: np.ndarray, batching: BatchingConfig) -> Iterator[Batch]:
    return prefetch(utterances, [rows[places] for places in bucket_by_length(utterances.frames[rows], batching)], None)


def _norms(model: nn.Module) -> list[nn.BatchNorm1d]:
    """The layers of batch normalization that keep statistics, as all that our models have do."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]


def _mean(norm: nn.BatchNorm1d) -> Tensor:
    assert norm.running_mean is not None
    return norm.running_mean


def _variance(norm: nn.BatchNorm1d) -> Tensor:
    assert norm.running_var is not None
    return norm.running_var


def _restore(norms: list[nn.BatchNorm1d], statistics: Statistics) -> None:
    for norm, (mean, variance) in zip(norms, statistics, strict=True):
        _mean(norm).copy_(mean)
        _variance(norm).copy_(variance)
