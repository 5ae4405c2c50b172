"""Noise on the weights of a layer (Graves et al. 2013, https://arxiv.org/abs/1303.5778, section 3).

y_b = layer(x_b; W + N(0, deviation^2)),    one draw for each training sequence b, the same at all of its steps

A gradient by the noisy weights is one by W. Each row runs alone with its own weights, about three times the time of a
batch that shares one draw.
"""

from typing import Literal, cast

import torch
from torch import Tensor
from torch.func import functional_call

from models.interface import Padded, State
from models.layers.rnn_layer import Layer
from models.search.state_pytree import tree_map

Draw = Literal["sequence", "batch"]


def run_with_weight_noise(
    layer: Layer, deviation: float, draw: Draw, x: Padded, state: State | None, *, own_ends: bool
) -> tuple[Padded, State]:
    """What a layer makes of x (B, T, D) and its state, with noise of this deviation on its weights."""

    def run(x: Padded, state: State | None) -> tuple[Padded, State]:
        weights = add_weight_noise(layer, deviation)
        return cast("tuple[Padded, State]", functional_call(layer, weights, (x, state), {"own_ends": own_ends}))

    if draw == "batch" or not len(x.lengths):
        return run(x, state)
    outputs, states = zip(*(run(*take_row(x, state, row)) for row in range(len(x.lengths))), strict=True)
    data, lengths = torch.cat([y.data for y in outputs]), torch.cat([y.lengths for y in outputs])
    return Padded(data, lengths), tree_map(lambda *leaves: torch.cat(leaves), *states)


def add_weight_noise(layer: Layer, deviation: float) -> dict[str, Tensor]:
    """The parameters of a layer plus noise."""
    return {name: value + deviation * torch.randn_like(value) for name, value in layer.named_parameters()}


def take_row(x: Padded, state: State | None, row: int) -> tuple[Padded, State | None]:
    """One row of a batch as a batch of one."""
    mine = slice(row, row + 1)
    before = None if state is None else tree_map(lambda leaf: leaf[mine], state)
    return Padded(x.data[mine], x.lengths[mine]), before
