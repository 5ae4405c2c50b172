"""A model with weights that may be anybody's: nothing in them is run, and no more is made than they fill."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.interface import Model
from models.registry import build
from tasks.bundles.training_checkpoints import Weights, from_bytes

CALLS_A_WEIGHT = 200  # that a module makes of torch for each of its tensors, with room
MOST_BUFFERS = 1 << 27  # elements of what a model holds beside its weights


class LimitedCalls(TorchFunctionMode):
    """Raises ValueError at the call of torch that is one too many: a model of a billion layers is never finished."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        self.left -= 1
        if self.left < 0:
            raise ValueError("the model has more layers than there are weights")
        return func(*args, **(kwargs or {}))


def read_weights(data: bytes) -> Weights:
    """What torch.save wrote of a state dict. Raises ValueError for tensors that are no weights."""
    weights = from_bytes(data)
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError("it holds no weights by name")
    for name, tensor in weights.items():
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise ValueError(f"{ascii(name)[:100]} is no tensor of numbers")
        if tensor.is_complex() or tensor.is_quantized:
            raise ValueError(f"{ascii(name)[:100]} has {tensor.dtype} numbers")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"{ascii(name)[:100]} holds a number that is none (NaN or infinite): train it again")
    return weights


def build_weighted_model(spec: dict[str, Any], weights: Weights) -> Model:
    """The model of model.json, in evaluation mode.

    It is first built without memory, whatever sizes are asked for. Raises ValueError, RuntimeError or TypeError for
    other weights than it has.
    """
    with torch.device("meta"), LimitedCalls(CALLS_A_WEIGHT * (len(weights) + 10)):
        outline = build(**spec)
    buffers = sum(buffer.numel() for buffer in outline.buffers())
    outline.load_state_dict(weights, assign=True)  # refuses other names and shapes
    if buffers > MOST_BUFFERS + sum(tensor.numel() for tensor in weights.values()):
        raise ValueError(f"the model holds {buffers:,} numbers beside its weights")
    model = build(**spec)
    model.load_state_dict(weights)
    return model.eval()
