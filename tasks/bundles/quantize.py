"""A model whose products with weight matrices are of 8 bits, for a CPU (models/layers/int8_linear.py)."""

from dataclasses import replace

from infra.errors import UserError
from models.layers.int8_linear import round_linear_layers
from tasks.bundles.model_bundle import Bundle


def quantize_bundle(bundle: Bundle) -> Bundle:
    """A copy. Raises UserError for a model on a GPU."""
    if next(bundle.model.parameters()).device.type != "cpu":
        raise UserError("quantize=int8 is for a CPU, and this model is on a GPU: leave it out")
    return replace(bundle, model=round_linear_layers(bundle.model))
