"""Deep Speech (Hannun et al. 2014, https://arxiv.org/abs/1412.5567): dense layers, one recurrence, CTC; section 2.

h^1_t = g(W^1 [x_{t-C} .. x_{t+C}] + b^1)        a window of C frames on each side
h^l_t = g(W^l h^{l-1}_t + b^l), l = 2, 3
->h_t = g(W^4 h^3_t + ->W_r ->h_{t-1} + b^4)     both directions share W^4 and b^4
<-h_t = g(W^4 h^3_t + <-W_r <-h_{t+1} + b^4)
h^4_t = ->h_t + <-h_t
h^5_t = g(W^5 h^4_t + b^5)
p_t   = softmax(W^6 h^5_t + b^6)                 over characters and blank
g(z) = min(max(z, 0), 20);  loss: CTC

The defaults are the paper's: 5 layers of 2048, C = 9 frames (it tries 5, 7 and 9), every second frame (section 4),
dropout of 5 to 10 percent on the dense layers and none on the recurrence (section 2.1). Beyond the ends of a sequence a
window sees zeros. The paper trains with Nesterov momentum 0.99. The recurrence is any of models/layers/rnn_stack.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from models.cells.clipped_relu import clipped_relu
from models.cells.elman_jordan import Config as ElmanOptions
from models.families.ctc_model import CTCModel
from models.interface import Padded
from models.layers.rnn_stack import CellName, Merge, Recurrent, Stack
from models.layers.time_delay import TimeDelayConfig, TimeDelayEncoder


@dataclass(frozen=True, kw_only=True)
class Config(Recurrent):
    """context: C, frames on each side of a window. stride: frames a step. hidden_size: also of the dense layers.
    dropout: of the dense layers, h^1 to h^3 and h^5, and between recurrent layers, if there are several.
    """

    drops_elsewhere: ClassVar[bool] = True

    cell: CellName = "elman"
    elman: ElmanOptions = ElmanOptions(nonlinearity="clipped_relu")
    hidden_size: int = 2048
    bidirectional: bool = True
    merge: Merge = "sum"
    share_input: bool = True
    context: int = 9
    stride: int = 2
    dropout: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride < 1 or self.context < 0:
            raise ValueError("stride is at least 1, context at least 0")

    def build(self, source_size: int, target_size: int) -> "DeepSpeech":
        return DeepSpeech(self, source_size, target_size)


class DeepSpeech(CTCModel):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.reduction = config, config.stride * config.pyramid ** (config.layers - 1)
        size = config.hidden_size
        dense = TimeDelayConfig(
            channels=(size, size, size),
            windows=(2 * config.context + 1, 1, 1),
            dilations=(1, 1, 1),
            strides=(config.stride, 1, 1),
            edges="same",
            activation="clipped_relu",
            dropout=config.dropout,
        )
        self.dense = TimeDelayEncoder(source_size, dense)
        self.recurrent = Stack(config, size)
        self.last = nn.Linear(config.output_size, size)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(size, target_size)
        for layer in (*self.dense.delays, self.last):
            _keep_the_variance(layer)

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / stride), V)."""
        h, _ = self.recurrent(self.dense(source), own_ends=False)
        last = self.dropout(clipped_relu(self.last(h.data)))
        return Padded(self.output(last).log_softmax(-1), h.lengths)


def _keep_the_variance(layer: nn.Module) -> None:
    """He et al. 2015, https://arxiv.org/abs/1502.01852: without normalization a signal would fade in five layers."""
    for name, value in layer.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_uniform_(value, nonlinearity="relu")
