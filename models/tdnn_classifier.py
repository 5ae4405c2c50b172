"""Time-delay neural network (Waibel et al. 1989, https://doi.org/10.1109/29.21701): one label for a sequence.

h^1_t = f(sum_{i=0}^{2} W^1_i x_{t+i} + b^1)         8 units, 3 frames; section II, figure 2
h^2_t = f(sum_{i=0}^{4} W^2_i h^1_{t+i} + b^2)       a unit for each label, 5 steps
z_k   = v_k sum_t h^2_{t,k} + c_k                    evidence integrated over time, with one gain a label
p     = softmax(z),  L = -log p(label)               f: the logistic function

The defaults are the paper's network for /b, d, g/: with 16 mel bands and 3 labels 392 + 123 + 6 = 521 parameters, which
15 frames use 6,233 times (13 x 8 x 49 + 9 x 3 x 41 + 3 x 10 connections). The paper's output is a logistic
unit trained by squared error; here a softmax by cross-entropy, so that scores are probabilities. A sequence of any
length will do; one shorter than a layer's field is followed by zeros (models/layers/time_delay.py).

Larger networks read out pooled features through a linear layer: the mean over time, or mean and standard deviation
(statistics pooling, Snyder et al. 2017, https://doi.org/10.21437/Interspeech.2017-620). Several networks that differ
in their random beginning alone can stand side by side, each trained by its own loss, and answer with the mean of their
probabilities (Hansen & Salamon 1990, https://doi.org/10.1109/34.58871): where training has few speakers, what they have
in common carries over to a new one better than what any of them has found.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.criteria.label_cross_entropy import label_cross_entropy
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded
from models.layers.ensemble import mean_of_probabilities
from models.layers.time_delay import TimeDelayConfig, TimeDelayEncoder
from models.registry import check_sizes
from models.search.classifier_n_best import classifier_n_best

SMALLEST_VARIANCE = 1e-5  # under the root of a deviation, whose gradient has no bound at 0


@dataclass(frozen=True, kw_only=True)
class Config(TimeDelayConfig):
    """The hidden layers (`TimeDelayConfig`) and how labels are read from them.

    readout: "evidence", the paper's second layer and its integral over time; "mean" or "statistics", pooled features
    and a linear layer. evidence_window: the steps an evidence unit sees; the other read-outs have none. members: how
    many networks answer together.
    """

    readout: Literal["evidence", "mean", "statistics"] = "evidence"
    evidence_window: int = 5
    members: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.readout not in READOUTS:
            raise ValueError(f"readout is one of {', '.join(READOUTS)}, not {self.readout!r}")
        check_sizes(self, "evidence_window", "members")

    def build(self, source_size: int, target_size: int) -> "TimeDelayNetwork":
        return TimeDelayNetwork(self, source_size, target_size)


class EvidencePooling(nn.Module):
    """z_k = v_k sum_t h_{t,k} + c_k, h one more layer of delays with a unit for each label: (B, T, D) -> (B, V)."""

    def __init__(self, config: Config, before: int, labels: int) -> None:
        super().__init__()
        window = (config.evidence_window,)
        shape = TimeDelayConfig(channels=(labels,), windows=window, edges=config.edges, activation="sigmoid")
        self.units = TimeDelayEncoder(before, shape)
        self.gain = nn.Parameter(torch.ones(labels))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, h: Padded) -> Tensor:
        return self.gain * self.units(h).data.sum(1) + self.bias


class MeanPooling(nn.Module):
    """z = V mean_t h_t + c: (B, T, D) -> (B, V)."""

    def __init__(self, _config: Config, before: int, labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(before, labels)

    def forward(self, h: Padded) -> Tensor:
        return self.output(moments(h)[0])


class StatisticsPooling(nn.Module):
    """z = V [mean_t h_t, deviation_t h_t] + c: (B, T, D) -> (B, V)."""

    def __init__(self, _config: Config, before: int, labels: int) -> None:
        super().__init__()
        self.output = nn.Linear(2 * before, labels)

    def forward(self, h: Padded) -> Tensor:
        mean, variance = moments(h)
        return self.output(torch.cat((mean, (variance + SMALLEST_VARIANCE).sqrt()), -1))


READOUTS = {"evidence": EvidencePooling, "mean": MeanPooling, "statistics": StatisticsPooling}


def moments(h: Padded) -> tuple[Tensor, Tensor]:
    """Mean and variance (B, D) of each sequence's real steps; h (B, T, D) is zero beyond them."""
    steps = h.lengths.to(h.data.device).clamp(min=1)[:, None].to(h.data.dtype)
    mean = h.data.sum(1) / steps
    distance = (h.data - mean[:, None]).masked_fill(~h.mask()[..., None], 0)
    return mean, distance.square().sum(1) / steps


class EnsembleMember(nn.Module):
    """One network: frames (B, T, D) to log-probabilities (B, V)."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.encoder = TimeDelayEncoder(source_size, config)
        self.readout = READOUTS[config.readout](config, self.encoder.size, target_size)

    def forward(self, source: Padded) -> Tensor:
        return self.readout(self.encoder(source)).log_softmax(-1)


class TimeDelayNetwork(Model):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(EnsembleMember(config, source_size, target_size) for _ in range(config.members))

    def classify(self, source: Padded) -> Tensor:
        """Frames (B, T, D) to the log-probabilities (B, V) of the labels."""
        return mean_of_probabilities([member(source) for member in self.members])

    def loss(self, batch: Batch) -> Loss:
        """The mean of the members' losses."""
        losses = [label_cross_entropy(member(batch.given), batch.target) for member in self.members]
        return Loss(torch.stack([loss.total for loss in losses]).mean(), losses[0].count)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return classifier_n_best(self.classify(source), beam, lm)
