"""Weights of bundles from before there was one kind of recurrent layer, by the names that they have in a `Stack` now.

Deep Speech 2 had a list of layers, each with a `norm`, and an `ahead` and a `back` of torch's kernels, or one `product`
and a `recurrence`, U of h U for both directions; Deep Speech had one `product` and `recurrence`.
"""

import re
from typing import Any

from torch import nn

EARLIER = re.compile(r"(?:(\d+)\.)?(norm|product|recurrence|ahead|back)\b\.?(.*)")


def rename_earlier(_stack: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """A hook before a stack loads its weights, which come with `prefix` before their names."""
    own = [name for name in weights if name.startswith(prefix)]
    found = {name: match for name in own if (match := EARLIER.fullmatch(name.removeprefix(prefix)))}
    products = {match[1] for match in found.values() if match[2] == "product"}
    for name, match in found.items():
        layer, kind, rest = f"{prefix}layers.{match[1] or 0}.", match[2], match[3]
        value = weights.pop(name)
        if kind == "recurrence":
            for direction, matrix in zip(("ahead", "back"), value, strict=True):
                weights[f"{layer}layer.{direction}.cell.weight_hh"] = matrix.t()
        elif kind == "product":
            weights[f"{layer}transform.{rest}_ih"] = value
        elif kind == "norm":
            weights[f"{layer}transform.{'norm.' if match[1] in products else ''}{rest}"] = value
        else:
            weights[f"{layer}layer.{kind}.kernel.{rest}"] = value
