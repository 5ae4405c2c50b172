"""A time-delay network that emits letters: Peddinti et al. 2015's layers
(https://doi.org/10.21437/Interspeech.2015-647) under CTC (Graves et al. 2006, https://doi.org/10.1145/1143844.1143891).

h^l_t = f(B(sum_{i=0}^{N_l} W^l_i h^{l-1}_{t + o_l + d_l i} + b^l))      delays d_l apart; models/layers/time_delay.py
p_t   = softmax(V h^L_t + c)                                           over letters and blank
loss: CTC

Peddinti et al. splice [-2, 2], then {-1, 2}, {-3, 3}, {-7, 2} and {0}, and so see 23 frames with few weights. Layers
with edges "same" have the first three exactly; the fourth is {-4, 5}, as wide but about the present step. The paper's
units are groups of 10 under a 2-norm; here they are ReLU with normalization over the sequence, Kaldi's later choice,
and layers of 600. The first layer keeps every third frame: CTC needs few steps, and what is emitted costs.
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from models.families.ctc_model import CTCModel
from models.interface import Padded
from models.layers.time_delay import TimeDelayConfig, TimeDelayEncoder


@dataclass(frozen=True, kw_only=True)
class Config(TimeDelayConfig):
    """The layers (`TimeDelayConfig`). edges is "same": an emitter has a step for every `reduction` frames."""

    channels: tuple[int, ...] = (600,) * 5
    windows: tuple[int, ...] = (5, 2, 2, 2, 1)
    dilations: tuple[int, ...] = (1, 3, 6, 9, 1)
    strides: tuple[int, ...] = (3, 1, 1, 1, 1)
    edges: Literal["valid", "same"] = "same"
    activation: Literal["sigmoid", "tanh", "relu", "clipped_relu"] = "relu"
    norm: Literal["none", "sequence"] = "sequence"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_same_edges()

    def build(self, source_size: int, target_size: int) -> "TimeDelayCTC":
        return TimeDelayCTC(self, source_size, target_size)


class TimeDelayCTC(CTCModel):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = TimeDelayEncoder(source_size, config)
        self.reduction = self.encoder.reduction
        self.output = nn.Linear(self.encoder.size, target_size)

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""
        h = self.encoder(source)
        return Padded(self.output(h.data).log_softmax(-1), h.lengths)
