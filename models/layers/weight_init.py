"""How recurrent weights begin, for torch's own kernels and for the cells of models/cells alike.

lecun       U(-1/sqrt(H), 1/sqrt(H)), H the hidden size: what torch does and the lecture names
uniform     U(-scale, scale); Sutskever et al. 2014 (https://arxiv.org/abs/1409.3215): scale 0.08
normal      N(0, scale^2); Le et al. 2015 (https://arxiv.org/abs/1504.00941): input weights with scale 0.001
glorot      U(-a, a), a = sqrt(6 / (fan in + fan out)) of one gate (Glorot & Bengio 2010)
orthogonal  scale * Q, |Q h| = |h|; Saxe et al. 2013 (https://arxiv.org/abs/1312.6120), Henaff et al. 2016
            (https://arxiv.org/abs/1602.06662)
identity    scale * I: copy as it is at first (Le et al. 2015)
zero        for biases

A matrix of several gates is initialized gate by gate. torch stores a bias twice, b_i and b_h, and adds them: where a
value is wished, the sum has it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Weights = Literal["lecun", "uniform", "normal", "glorot", "orthogonal", "identity"]
Biases = Literal["lecun", "uniform", "zero"]


@dataclass(frozen=True, kw_only=True)
class WeightInit:
    """input, recurrent, bias: a scheme each, of W_in, W_h and the biases, with the scale of those that have one."""

    input: Weights = "lecun"
    input_scale: float = 1.0
    recurrent: Weights = "lecun"
    recurrent_scale: float = 1.0
    bias: Biases = "lecun"
    bias_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("input", Weights), ("recurrent", Weights), ("bias", Biases)):
            scheme, names = getattr(self, name), get_args(known)
            if scheme not in names:
                raise ValueError(f"initialize.{name} is one of {', '.join(names)}, not {scheme!r}")
            if scheme in ("lecun", "glorot", "zero") and getattr(self, f"{name}_scale") != 1:
                raise ValueError(f"initialize.{name}_scale: {scheme} has no scale; leave it at 1")


def initialize_weights(layer: nn.Module, how: WeightInit, hidden_size: int) -> None:
    """Initialize in place the parameters of a layer whose names hold weight_ih, weight_hh, bias_ih or bias_hh."""
    for name, value in layer.named_parameters():
        for gate in value.detach().split(hidden_size):
            if "weight_ih" in name:
                _fill(gate, how.input, how.input_scale, hidden_size)
            elif "weight_hh" in name:
                _fill(gate, how.recurrent, how.recurrent_scale, hidden_size)
            elif "bias_ih" in name or "bias_hh" in name:
                _fill(gate, how.bias, how.bias_scale, hidden_size)


def init_lecun(layer: nn.Module, hidden_size: int) -> None:
    """Every parameter that the layer itself holds from U(-1/sqrt(H), 1/sqrt(H))."""
    for value in layer.parameters(recurse=False):
        _fill(value, "lecun", 1.0, hidden_size)


def without(cell: nn.Module, *names: str) -> None:
    """Take these parameters from a cell whose input comes driven: multiplied by W_in, and with a bias."""
    for name in names:
        cell.register_parameter(name, None)


def _fill(value: Tensor, scheme: Weights | Biases, scale: float, hidden_size: int) -> None:
    if scheme == "lecun":
        nn.init.uniform_(value, -(hidden_size**-0.5), hidden_size**-0.5)
    elif scheme == "uniform":
        nn.init.uniform_(value, -scale, scale)
    elif scheme == "normal":
        nn.init.normal_(value, 0, scale)
    elif scheme == "glorot":
        nn.init.xavier_uniform_(value)
    elif scheme == "orthogonal":
        nn.init.orthogonal_(value, scale)
    elif scheme == "identity":
        with torch.no_grad():
            nn.init.eye_(value).mul_(scale)
    else:
        nn.init.zeros_(value)
