"""Matrix products of whole numbers, for models that only answer (Jacob et al. 2018, https://arxiv.org/abs/1712.05877).

y = s_x s_W (Q_x - z_x) Q_W' + b        Q_W: 8 bits, a scale s_W for each output; Q_x: 8 bits, one s_x and z_x a call

Weights are rounded once, inputs as they come, by the least and the largest of a batch: what a row is answered depends,
within the rounding, on the rows beside it. Sums are of 32 bits.
"""

import copy
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from infra.errors import UserError
from tasks.bundles.model_bundle import Bundle


class Int8Linear(nn.Module):
    """A linear layer of weights (D, C), rounded. On a CPU; without gradient."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        weight = weight.detach().float()
        scales = weight.abs().amax(1).clamp(min=1e-8).double() / 127
        places = torch.zeros(len(weight), dtype=torch.long)
        rounded = torch.quantize_per_channel(weight, scales, places, 0, torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(rounded, None if bias is None else bias.detach().float())
        self.narrow = not torch.cpu._is_vnni_supported()  # without it sums of 16 bits overflow: 7 bits of the input

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) to (..., D)."""
        return torch.ops.quantized.linear_dynamic(x.contiguous(), self.packed, self.narrow)


Network = TypeVar("Network", bound=nn.Module)


def round_linear_layers(model: Network) -> Network:
    """A copy of the model, which only answers, whose linear layers are of 8 bits, and so is its softmax layer where
    that has the weights of an embedding (`output` is None): the embedding stays as it is.
    """
    model = copy.deepcopy(model).eval()
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear):
            model.set_submodule(name, Int8Linear(layer.weight, layer.bias))
    for network in list(model.modules()):  # the model, or each of an ensemble
        embedding = getattr(network, "embedding", None)
        if getattr(network, "output", network) is None and isinstance(embedding, nn.Embedding):
            network.output = Int8Linear(embedding.weight)
    return model


def quantize_bundle(bundle: Bundle) -> Bundle:
    """A copy. Raises UserError for a model on a GPU."""
    if next(bundle.model.parameters()).device.type != "cpu":
        raise UserError("quantize=int8 is for a CPU, and this model is on a GPU: leave it out")
    return replace(bundle, model=round_linear_layers(bundle.model))
