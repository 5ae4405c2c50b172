"""Wav2Letter (Collobert, Puhrsch, Synnaeve 2016, https://arxiv.org/abs/1609.03193): convolutions over time, ASG or CTC.

h^l_t = f(sum_{i=1}^{kw} W^l_i h^{l-1}_{dw (t - 1) + i} + b^l)        section 2.3, equation 1; h^0 the frames
f_i(x_t) = (V h^L_t + c)_i                                           a score for each letter
loss: the auto segmentation criterion with its transitions g_ij (models/criteria/asg.py), or CTC

The defaults are figure 2's network for MFCC and power spectra: a convolution of 48 frames that keeps every second one,
7 of 7 steps, 250 features each; one of 32 steps and a "fully connected" one of 1 step with 2000. With 39 features and
30 letters that is 23.6 million parameters (the paper says 23 million). A raw waveform, whose frames are samples, has a
layer of 250 samples and stride 160 in front: channels (250, *), windows (250, *), strides (160, *). The paper finds
tanh, its piecewise linear form and ReLU alike; here ReLU. Convolutions are padded with zeros at both ends, so that T
frames give ceil(T / 2) steps. A vector of scores is given as log-probabilities: to both criteria that is the same.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from models.criteria.asg import asg
from models.families.ctc_model import CTCModel
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Padded
from models.layers.time_delay import TimeDelayConfig, TimeDelayEncoder
from models.search.asg.beam import asg_beam


@dataclass(frozen=True, kw_only=True)
class Config(TimeDelayConfig):
    """The convolutions (`TimeDelayConfig`) and the criterion that letters are learned and searched by."""

    channels: tuple[int, ...] = (*[250] * 8, 2000, 2000)
    windows: tuple[int, ...] = (48, *[7] * 7, 32, 1)
    dilations: tuple[int, ...] = (1,) * 10
    strides: tuple[int, ...] = (2, *[1] * 9)
    edges: Literal["valid", "same"] = "same"
    activation: Literal["sigmoid", "tanh", "relu", "clipped_relu"] = "relu"
    criterion: Literal["asg", "ctc"] = "asg"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_same_edges()
        if self.criterion not in ("asg", "ctc"):
            raise ValueError(f"criterion is asg or ctc, not {self.criterion!r}")

    def build(self, source_size: int, target_size: int) -> "Wav2Letter":
        return Wav2Letter(self, source_size, target_size)


class Wav2Letter(CTCModel):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = TimeDelayEncoder(source_size, config)
        self.reduction = self.encoder.reduction
        self.output = nn.Linear(self.encoder.size, target_size)
        pairs = torch.zeros(target_size, target_size)
        self.transitions = nn.Parameter(pairs) if config.criterion == "asg" else None

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""
        h = self.encoder(source)
        return Padded(self.output(h.data).log_softmax(-1), h.lengths)

    def loss(self, batch: Batch) -> Loss:
        if self.transitions is None:
            return super().loss(batch)
        return asg(self.emit(batch.given), batch.target, self.transitions)

    def search_emissions(self, emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        if self.transitions is None:
            return super().search_emissions(emissions, beam, lm)
        return asg_beam(emissions, self.transitions, beam, lm)
