"""Stacked recurrent layers of any cell, configured by one value: what every recurrent architecture is built on.

x + N(0, input_noise^2)  ->  layer  ->  dropout  ->  layer  -> ...       (B, T, D) to (B, T, H), 2 H for both directions

Where the cell is one of torch's own, its fused kernel runs; else the cell's scan. Regularisers, all while training:
dropout between the layers (Zaremba et al. 2014, https://arxiv.org/abs/1409.2329); ZoneOut; noise on the input (Jim et
al. 1996); noise on the weights, one draw a call (Graves et al. 2013, https://arxiv.org/abs/1303.5778, section 3: W +
N(0, 0.075^2) for each sequence, never for each step).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.cells.deep_transition import Config as TransitionOptions
from models.cells.deep_transition import DeepTransition
from models.cells.echo_state import Config as EchoOptions
from models.cells.echo_state import EchoState
from models.cells.elman import Config as ElmanOptions
from models.cells.elman import Elman, Jordan
from models.cells.gru import GRU
from models.cells.gru import Config as GRUOptions
from models.cells.lstm import LSTM, set_forget_bias
from models.cells.lstm import Config as LSTMOptions
from models.cells.zoneout import ZoneOut
from models.interface import Padded, State, restore_config
from models.layers.rnn_layer import Bidirectional, Fused, Layer, Unroll, concatenate_steps
from models.layers.weight_init import WeightInit, initialize_weights

CellName = Literal["elman", "jordan", "lstm", "gru", "deep_transition", "echo_state"]
OPTIONS = {  # the field of a config that is each cell's
    "elman": "elman",
    "jordan": "elman",
    "lstm": "lstm",
    "gru": "gru",
    "deep_transition": "transition",
    "echo_state": "echo",
}
CELLS: dict[str, Callable[..., Any]] = {
    "elman": Elman,
    "jordan": Jordan,
    "lstm": LSTM,
    "gru": GRU,
    "deep_transition": DeepTransition,
    "echo_state": EchoState,
}


@dataclass(frozen=True, kw_only=True)
class Recurrent:
    """pyramid: so many steps are concatenated before each layer but the first, 1 for none. learn_start: the initial
    states are parameters. zoneout: its rate for h (and for the one state of other cells); zoneout_cell: for an LSTM's
    c. projection: of a plain LSTM's h(t) to so many features, also where it recurs (Sak et al. 2014,
    https://arxiv.org/abs/1402.1128), 0 for none. input_noise, weight_noise: standard deviations. dropout: between
    layers. elman (also Jordan's), lstm, gru, transition, echo: options of the cell; those of another cell cannot be
    set.
    """

    cell: CellName = "lstm"
    layers: int = 1
    hidden_size: int = 64
    bidirectional: bool = False
    projection: int = 0
    pyramid: int = 1
    learn_start: bool = False
    dropout: float = 0.0
    zoneout: float = 0.0
    zoneout_cell: float = 0.0
    input_noise: float = 0.0
    weight_noise: float = 0.0
    initialise: WeightInit = WeightInit()
    elman: ElmanOptions = ElmanOptions()
    lstm: LSTMOptions = LSTMOptions()
    gru: GRUOptions = GRUOptions()
    transition: TransitionOptions = TransitionOptions()
    echo: EchoOptions = EchoOptions()

    def __post_init__(self) -> None:
        restore_config(self)
        if self.cell not in CELLS:
            raise ValueError(f"cell is one of {', '.join(get_args(CellName))}, not {self.cell!r}")
        if min(self.layers, self.hidden_size, self.pyramid) < 1:
            raise ValueError("layers, hidden_size and pyramid are at least 1")
        if not 0 <= self.dropout < 1 or not 0 <= self.zoneout <= 1 or not 0 <= self.zoneout_cell <= 1:
            raise ValueError("dropout is in [0, 1), zoneout and zoneout_cell are in [0, 1]")
        if min(self.input_noise, self.weight_noise) < 0:
            raise ValueError("input_noise and weight_noise are not negative")
        if self.zoneout_cell and self.cell != "lstm":
            raise ValueError(f"zoneout_cell is for an lstm's c, which {self.cell} has not")
        if self.dropout and self.layers == 1:
            raise ValueError("recurrent.dropout is between layers, and there is one: set it to 0")
        self._refuse_of_other_cells()

    def _refuse_of_other_cells(self) -> None:
        if not 0 <= self.projection < self.hidden_size:
            raise ValueError(f"projection is below hidden_size, and 0 for none, not {self.projection}")
        if self.projection and (self.cell != "lstm" or _kernel(self, 1) is None):
            raise ValueError("projection is for the plain lstm: without options of its cell, without zoneout")
        for name in set(OPTIONS.values()) - {OPTIONS[self.cell]}:
            if getattr(self, name) != type(getattr(self, name))():
                raise ValueError(f"{name} holds options of another cell than {self.cell}")
        if self.cell == "echo_state" and self.initialise != WeightInit():
            raise ValueError("initialise: an echo state has its own; see echo")

    @property
    def output_size(self) -> int:
        return (self.projection or self.hidden_size) * (2 if self.bidirectional else 1)

    @property
    def streams(self) -> bool:
        """Whether step t of the output depends on steps 1 .. t of the input alone, one for one."""
        return not self.bidirectional and self.pyramid == 1


class Stack(nn.Module):
    def __init__(self, config: Recurrent, input_size: int) -> None:
        super().__init__()
        self.config, self.output_size = config, config.output_size
        sizes = [input_size] + [config.output_size * config.pyramid] * (config.layers - 1)
        self.layers = nn.ModuleList(recurrent_layer(config, size) for size in sizes)
        self.dropout = nn.Dropout(config.dropout)

    def begin(self, batch_size: int) -> State:
        """The state before any step: an entry a layer."""
        return tuple(layer.begin(batch_size) for layer in cast("Iterable[Layer]", self.layers))

    def forward(self, x: Padded, state: State | None = None, *, own_ends: bool = True) -> tuple[Padded, State]:
        """x (B, T, D) to y (B, T', H) with T' = T, shorter by `pyramid` for each layer above the first.

        own_ends: whether the state at each row's own end is wanted, rather than that after all T steps; where the
        lengths differ it costs time.
        """
        if self.training and self.config.input_noise:
            x = Padded(x.data + self.config.input_noise * torch.randn_like(x.data), x.lengths)
        after = []
        for k, layer in enumerate(self.layers):
            if k:
                x = Padded(self.dropout(x.data), x.lengths)
                x = concatenate_steps(x, self.config.pyramid) if self.config.pyramid > 1 else x
            before = None if state is None else state[k]
            if self.training and self.config.weight_noise:
                weights = add_weight_noise(layer, self.config.weight_noise)
                x, ended = functional_call(layer, weights, (x, before), {"own_ends": own_ends})
            else:
                x, ended = layer(x, before, own_ends=own_ends)
            after.append(ended)
        return x, tuple(after)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step x (B, D) to y (B, H), for evaluation. Raises ValueError where a step needs more than the past."""
        if not self.config.streams:
            raise ValueError("bidirectional and pyramidal layers have no single steps")
        after = []
        for layer, before in zip(cast("Iterable[Unroll | Fused]", self.layers), state, strict=True):
            x, ended = layer.step(x, before)
            after.append(ended)
        return x, tuple(after)


def recurrent_layer(config: Recurrent, input_size: int) -> Layer:
    """One layer of the config, (B, T, input_size) to (B, T, config.output_size)."""
    if config.bidirectional:
        return Bidirectional(_direction(config, input_size), _direction(config, input_size))
    return _direction(config, input_size)


def _direction(config: Recurrent, input_size: int) -> Unroll | Fused:
    kernel = _kernel(config, input_size)
    if kernel is not None:
        layer = Fused(kernel, learn_start=config.learn_start)
    else:
        cell = CELLS[config.cell](getattr(config, OPTIONS[config.cell]), input_size, config.hidden_size)
        if config.zoneout or config.zoneout_cell:
            rates = (config.zoneout, config.zoneout_cell) if config.cell == "lstm" else (config.zoneout,)
            cell = ZoneOut(cell, rates)
        layer = Unroll(cell, learn_start=config.learn_start)
    initialize_weights(layer, config.initialise, config.hidden_size)
    if config.cell == "lstm":
        set_forget_bias(layer, config.lstm, config.hidden_size)
    return layer


def _kernel(config: Recurrent, input_size: int) -> nn.RNNBase | None:
    """torch's own, where it computes what the config says."""
    if config.zoneout or config.zoneout_cell:
        return None
    if config.cell == "elman" and config.elman.nonlinearity != "clipped_relu":
        return nn.RNN(input_size, config.hidden_size, nonlinearity=config.elman.nonlinearity, batch_first=True)
    if config.cell == "lstm" and config.lstm.plain and not config.lstm.layer_norm:
        return nn.LSTM(input_size, config.hidden_size, batch_first=True, proj_size=config.projection)
    if config.cell == "gru" and config.gru == GRUOptions():
        return nn.GRU(input_size, config.hidden_size, batch_first=True)
    return None


def add_weight_noise(layer: nn.Module, deviation: float) -> dict[str, Tensor]:
    """The parameters of a layer plus noise; a gradient by their sum is one by the parameters."""
    return {name: value + deviation * torch.randn_like(value) for name, value in layer.named_parameters()}
