"""Which options of recurrent layers go together, and for which of them torch has a kernel.

config: a `Recurrent` of models/layers/rnn_stack.py, or an architecture's config that extends it.
"""

from dataclasses import fields
from typing import Any

from torch import nn

from models.cells.gru import Config as GRUOptions
from models.layers.weight_init import WeightInit


def refuse_options(config: Any) -> None:
    """Raises ValueError for options that cannot be honored together."""
    if min(config.layers, config.hidden_size, config.pyramid) < 1:
        raise ValueError("layers, hidden_size and pyramid are at least 1")
    if not 0 <= config.dropout < 1 or not 0 <= config.zoneout <= 1 or not 0 <= config.zoneout_cell <= 1:
        raise ValueError("dropout is in [0, 1), zoneout and zoneout_cell are in [0, 1]")
    if min(config.input_noise, config.weight_noise) < 0:
        raise ValueError("input_noise and weight_noise are not negative")
    if config.weight_noise and config.norm != "none" and config.weight_noise_draw == "sequence":
        raise ValueError("weight_noise_draw=sequence runs each alone, and norm is over a batch: draw for the batch")
    if config.dropout and config.layers == 1 and not config.drops_elsewhere:
        raise ValueError("recurrent.dropout is between layers, and there is one: set it to 0")
    _refuse_of_other_cells(config)
    _refuse_directions(config)
    _refuse_residual(config)


def _refuse_of_other_cells(config: Any) -> None:
    if config.zoneout_cell and config.cell != "lstm":
        raise ValueError(f"zoneout_cell is for an lstm's c, which {config.cell} has not")
    beside = config.bidirectional or config.learn_start or config.zoneout or config.share_input or config.norm != "none"
    if config.cell == "elman_rtrl" and (config.layers > 1 or beside):
        only = "layers=1, not bidirectional, no learn_start, zoneout, share_input or norm"
        raise ValueError(f"elman_rtrl carries the influence of one cell's weights forward: {only}")
    if not 0 <= config.projection < config.hidden_size:
        raise ValueError(f"projection is below hidden_size, and 0 for none, not {config.projection}")
    if config.projection and (config.cell != "lstm" or torch_kernel(config, 1) is None):
        raise ValueError("projection is for the plain lstm: without options of its cell, zoneout, or norm=product")
    if config.cell == "echo_state" and config.initialize != WeightInit():
        raise ValueError("initialize: an echo state has its own; see echo")
    if config.cell == "echo_state" and config.own_product:
        raise ValueError("share_input and norm=product learn W x, and an echo state's is fixed: norm=input or none")
    if config.norm == "product" and (config.initialize.bias, config.initialize.bias_scale) != ("lecun", 1.0):
        raise ValueError("initialize.bias: with norm=product the bias is the normalization's and begins at 0")


def _refuse_directions(config: Any) -> None:
    if config.bidirectional_first and (config.bidirectional or config.layers == 1):
        raise ValueError("bidirectional_first is for the first of several layers: not with bidirectional, layers=1")
    for name, of_two in (("merge", "sum"), ("share_input", True)):
        both = config.bidirectional or config.bidirectional_first
        if not both and getattr(config, name) == of_two and is_chosen(config, name):
            raise ValueError(f"{name} is for two directions: set bidirectional too")


def _refuse_residual(config: Any) -> None:
    first = 3 if config.bidirectional_first and config.merge == "concat" else 2
    if config.residual and (config.pyramid > 1 or not first <= config.residual <= config.layers):
        of = f"{first} to {config.layers}, whose input is as large as its output"
        raise ValueError(f"residual is the first layer that adds its input, {of}, and pyramid=1: not {config.residual}")


def is_chosen(config: Any, name: str) -> bool:
    """Whether a value is another than the default of its architecture."""
    return getattr(config, name) != default_option(config, name)


def default_option(config: Any, name: str) -> Any:
    return next(field.default for field in fields(config) if field.name == name)


def torch_kernel(config: Any, input_size: int) -> nn.RNNBase | None:
    """torch's own, where it computes what the config says."""
    if config.zoneout or config.zoneout_cell or config.own_product:
        return None
    if config.cell == "elman" and config.elman.nonlinearity != "clipped_relu":
        return nn.RNN(input_size, config.hidden_size, nonlinearity=config.elman.nonlinearity, batch_first=True)
    if config.cell == "lstm" and config.lstm.plain and not config.lstm.layer_norm:
        return nn.LSTM(input_size, config.hidden_size, batch_first=True, proj_size=config.projection)
    if config.cell == "gru" and config.gru == GRUOptions():
        return nn.GRU(input_size, config.hidden_size, batch_first=True)
    return None
