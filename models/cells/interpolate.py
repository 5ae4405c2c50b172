"""A step from one state towards another, in the wider of their precisions."""

import torch
from torch import Tensor


def interpolate(start: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """start + weight (end - start), all of one shape; torch.lerp refuses the two precisions that autocast makes."""
    dtype = torch.promote_types(start.dtype, end.dtype)
    weight = weight.to(dtype) if isinstance(weight, Tensor) else weight
    return torch.lerp(start.to(dtype), end.to(dtype), weight)
