"""A model whose products with weight matrices are of 8 bits, for a CPU: torch's dynamic quantization of Linear layers.

Weights are rounded once, to 8 bits a row with a scale of its own; what is multiplied by them is rounded each time. All
else stays in float32.
"""

import copy
import warnings
from dataclasses import replace

from torch import nn
from torch.ao.quantization.qconfig import per_channel_dynamic_qconfig
from torch.ao.quantization.quantize import quantize_dynamic

from infra.errors import UserError
from models.interface import Model
from tasks.bundles.model_bundle import Bundle


def quantize(model: Model) -> Model:
    """A copy. Raises UserError for a model on a GPU."""
    if next(model.parameters()).device.type != "cpu":
        raise UserError("quantize=int8 is for a CPU, and this model is on a GPU: leave it out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of where quantization will move to
        return quantize_dynamic(copy.deepcopy(model).eval(), {nn.Linear: per_channel_dynamic_qconfig})


def quantize_bundle(bundle: Bundle) -> Bundle:
    return replace(bundle, model=quantize(bundle.model))
