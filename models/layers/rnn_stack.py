"""Stacked recurrent layers of any cell, configured by one value: what every recurrent architecture is built on.

x + N(0, input_noise^2)  ->  layer  ->  dropout  ->  layer  -> ...       (B, T, D) to (B, T, H), 2 H for both directions

A layer is B(x) or x, then W x + b or B(W x) where that is not the cell's own, then one direction or both (Schuster &
Paliwal 1997), which are concatenated or summed. B: sequence-wise batch normalization (Amodei et al. 2015, section 3.2).

Where the cell is one of torch's own, its fused kernel runs; else the cell's scan. Regularizers, all while training:
dropout between the layers (Zaremba et al. 2014, https://arxiv.org/abs/1409.2329); ZoneOut; noise on the input (Jim et
al. 1996); noise on the weights (Graves et al. 2013, https://arxiv.org/abs/1303.5778, section 3: W + N(0, 0.075^2), once
for each training sequence, never for each step).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from models.cells.clipped_relu import scan_clipped
from models.cells.deep_transition import Config as TransitionOptions
from models.cells.deep_transition import DeepTransition
from models.cells.echo_state import Config as EchoOptions
from models.cells.echo_state import EchoState
from models.cells.elman_jordan import Config as ElmanOptions
from models.cells.elman_jordan import Elman, Jordan
from models.cells.gru import GRU, scan_gru
from models.cells.gru import Config as GRUOptions
from models.cells.lstm import LSTM, set_forget_bias
from models.cells.lstm import Config as LSTMOptions
from models.cells.zoneout import ZoneOut
from models.interface import Padded, State
from models.layers.earlier_weight_names import rename_earlier
from models.layers.rnn.option_checks import default_option, is_chosen, refuse_options, torch_kernel
from models.layers.rnn_layer import (
    Bidirectional,
    Fused,
    InputProduct,
    InputTransform,
    JointScan,
    Layer,
    Merge,
    Unroll,
    concatenate_steps,
)
from models.layers.rtrl import RealTimeElman
from models.layers.sequence_norm import SequenceNorm
from models.layers.weight_init import WeightInit, initialize_weights
from models.layers.weight_noise import Draw, run_with_weight_noise
from models.registry import restore_config

CellName = Literal["elman", "elman_rtrl", "jordan", "lstm", "gru", "deep_transition", "echo_state"]
Norm = Literal["none", "input", "product"]
OPTIONS = {  # the field of a config that is each cell's
    "elman": "elman",
    "elman_rtrl": "elman",
    "jordan": "elman",
    "lstm": "lstm",
    "gru": "gru",
    "deep_transition": "transition",
    "echo_state": "echo",
}
CELLS: dict[str, Callable[..., Any]] = {
    "elman": Elman,
    "elman_rtrl": RealTimeElman,
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
    https://arxiv.org/abs/1402.1128), 0 for none. input_noise, weight_noise: standard deviations. weight_noise_draw: for
    each sequence, or once for all of a batch, which is faster. dropout: between layers. elman (also Jordan's), lstm,
    gru, transition, echo: options of the cell; those of another cell cannot be set. The cell
    elman_rtrl is Elman's with the gradient of models/layers/rtrl.py.

    bidirectional_first: the first layer alone has two directions. residual: from this layer on, counted from 1, the
    input of a layer is added to its output (Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 3.1), 0 for none.
    merge: how two directions become one vector. share_input: both directions read one product W x + b. norm: what is
    normalized over all real steps of the batch, a layer's input x or its product W x, whose bias is then that of the
    normalization; in place of W x + b the latter also replaces a cell's layer normalization of it. Neither a shared
    nor a normalized product runs in torch's kernels: for gru and lstm norm "input" is the faster.
    An architecture's config that extends this one has these options as its own.
    """

    drops_elsewhere: ClassVar[bool] = False  # whether an architecture's `dropout` is not between its layers alone

    cell: CellName = "lstm"
    layers: int = 1
    hidden_size: int = 64
    bidirectional: bool = False
    bidirectional_first: bool = False
    residual: int = 0
    merge: Merge = "concat"
    share_input: bool = False
    norm: Norm = "none"
    projection: int = 0
    pyramid: int = 1
    learn_start: bool = False
    dropout: float = 0.0
    zoneout: float = 0.0
    zoneout_cell: float = 0.0
    input_noise: float = 0.0
    weight_noise: float = 0.0
    weight_noise_draw: Draw = "sequence"
    initialize: WeightInit = WeightInit()
    elman: ElmanOptions = ElmanOptions()
    lstm: LSTMOptions = LSTMOptions()
    gru: GRUOptions = GRUOptions()
    transition: TransitionOptions = TransitionOptions()
    echo: EchoOptions = EchoOptions()

    def __post_init__(self) -> None:
        restore_config(self)
        for name, known in (("cell", CellName), ("merge", Merge), ("norm", Norm), ("weight_noise_draw", Draw)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} is one of {', '.join(get_args(known))}, not {getattr(self, name)!r}")
        for name in sorted(set(OPTIONS.values()) - {OPTIONS[self.cell]}):
            if is_chosen(self, name):
                raise ValueError(f"{name} holds options of another cell than {self.cell}")
        refuse_options(self)

    @property
    def own_product(self) -> bool:
        """Whether a layer makes W x itself, and its cells are driven."""
        return self.share_input or self.norm == "product"

    @property
    def output_size(self) -> int:
        both = self.bidirectional and self.merge == "concat"
        return (self.projection or self.hidden_size) * (2 if both else 1)

    @property
    def streams(self) -> bool:
        """Whether step t of the output depends on steps 1 .. t of the input alone, one for one."""
        return not (self.bidirectional or self.bidirectional_first) and self.pyramid == 1

    def layer(self, k: int) -> "Recurrent":
        """Layer k alone, counted from 0: dropout is between layers, and noise on the input of the first."""
        both = self.bidirectional or (self.bidirectional_first and not k)
        noise = 0.0 if k else self.input_noise
        merge = self.merge if both else default_option(self, "merge")
        alone: dict[str, Any] = {"bidirectional_first": False, "residual": 0, "layers": 1, "dropout": 0.0}
        return replace(
            self, **alone, bidirectional=both, merge=merge, input_noise=noise, share_input=self.share_input and both
        )


class Stack(nn.Module):
    def __init__(self, config: Recurrent, input_size: int) -> None:
        super().__init__()
        self.config, self.output_size = config, config.output_size
        self.layers = nn.ModuleList()
        for k in range(config.layers):
            alone = config.layer(k) if config.bidirectional_first else config
            self.layers.append(recurrent_layer(alone, input_size))
            input_size = alone.output_size * config.pyramid
        self.dropout = nn.Dropout(config.dropout)
        self.register_load_state_dict_pre_hook(rename_earlier)

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
            before, read = None if state is None else state[k], x
            if self.training and self.config.weight_noise:
                noise = self.config.weight_noise, self.config.weight_noise_draw
                x, ended = run_with_weight_noise(cast("Layer", layer), *noise, x, before, own_ends=own_ends)
            else:
                x, ended = layer(x, before, own_ends=own_ends)
            x = Padded(x.data + read.data, x.lengths) if self._adds(k) else x
            after.append(ended)
        return x, tuple(after)

    def _adds(self, k: int) -> bool:
        return 0 < self.config.residual <= k + 1

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step x (B, D) to y (B, H), for evaluation. Raises ValueError where a step needs more than the past."""
        if not self.config.streams:
            raise ValueError("bidirectional and pyramidal layers have no single steps")
        after = []
        for k, (layer, before) in enumerate(zip(cast("Iterable[Unroll | Fused]", self.layers), state, strict=True)):
            y, ended = layer.step(x, before)
            x = x + y if self._adds(k) else y
            after.append(ended)
        return x, tuple(after)


def recurrent_layer(config: Recurrent, input_size: int) -> Layer:
    """One layer of the config, (B, T, input_size) to (B, T, config.output_size)."""
    normalized = SequenceNorm(input_size) if config.norm == "input" else None
    shared = _product(config, input_size) if config.share_input else None
    layer: Layer = _direction(config, input_size)
    if config.bidirectional:
        layer = Bidirectional(layer, _direction(config, input_size), merge=config.merge, scan=_joint_scan(config))
    for transform in (shared, normalized):
        layer = layer if transform is None else InputTransform(transform, layer)
    return layer


def _direction(config: Recurrent, input_size: int) -> Layer:
    product = _product(config, input_size) if config.own_product and not config.share_input else None
    kernel = torch_kernel(config, input_size)
    if kernel is not None:
        layer = Fused(kernel, learn_start=config.learn_start)
    else:
        size = 0 if config.own_product else input_size
        cell = CELLS[config.cell](getattr(config, OPTIONS[config.cell]), size, config.hidden_size)
        if config.zoneout or config.zoneout_cell:
            rates = (config.zoneout, config.zoneout_cell) if config.cell == "lstm" else (config.zoneout,)
            cell = ZoneOut(cell, rates)
        layer = Unroll(cell, learn_start=config.learn_start)
    _begin(layer, config)
    return layer if product is None else InputTransform(product, layer)


def _product(config: Recurrent, input_size: int) -> InputProduct:
    """W x of a layer whose cells are driven: a row for each of their gates' units."""
    gates = {"lstm": len(config.lstm.rows), "gru": 3}.get(config.cell, 1)
    size = config.hidden_size
    product = InputProduct(input_size, gates * size, size, normalize=config.norm == "product")
    _begin(product, config)
    if config.cell == "lstm":
        set_forget_bias([product.bias], config.lstm, size)
    return product


def _begin(layer: nn.Module, config: Recurrent) -> None:
    """The first weights. The default scheme is also that which they were made with: once is enough, but without norm
    and shared product seeds are known to give what is drawn the second time.
    """
    if config.initialize != WeightInit() or not (config.own_product or config.norm == "input"):
        initialize_weights(layer, config.initialize, config.hidden_size)
    if config.cell == "lstm" and not config.own_product:
        biases = [bias for name, bias in layer.named_parameters() if "bias_ih" in name or "bias_hh" in name]
        set_forget_bias(biases, config.lstm, config.hidden_size)


def _joint_scan(config: Recurrent) -> JointScan | None:
    """The scan of both directions at once, where there is one for what the config says."""
    if config.zoneout or (config.own_product and not config.share_input):
        return None
    if config.cell == "elman" and config.elman.nonlinearity == "clipped_relu":
        return scan_clipped
    return scan_gru if config.cell == "gru" and config.gru == GRUOptions() and config.share_input else None
