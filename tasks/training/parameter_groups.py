"""Which parameters learn, and how fast: by patterns of their names, as `model.named_parameters()` has them.

A pattern may name a parameter (`output.bias`), a module with all that is in it (`encoder`), or several (`encoder.*`,
`*.norm`); `*` stands for anything, dots too. What is frozen is as in evaluation: its weights and running statistics
stay, and nothing in it is dropped.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

from torch import nn

from infra.errors import UserError
from models.interface import Model
from tasks.training.optimizer import FitConfig


def check_patterns(model: nn.Module, fit: FitConfig) -> None:
    """Raises ValueError for a pattern that names nothing of the model, and where nothing is left to learn."""
    named = [name for name, _ in model.named_parameters()] + [name for name, _ in model.named_buffers()]
    for key, patterns in (("freeze", fit.freeze), ("rate_factors", fit.rate_factors)):
        for pattern in patterns:
            if not any(_matches(name, pattern) for name in named):
                there = ", ".join(_parts(model))
                raise ValueError(f"fit.{key}: {pattern!r} is no module or parameter of this model, which has {there}")
    if fit.freeze and all(_frozen(name, fit) for name, _ in model.named_parameters()):
        raise ValueError(f"fit.freeze={','.join(fit.freeze)}: nothing of the model is left to learn")


def freeze_parameters(model: Model, fit: FitConfig) -> Model:
    """The model, of whose gradient what is frozen is no part any more, as what it does not train itself never was.
    Raises UserError for a pattern of nothing.
    """
    try:
        check_patterns(model, fit)
    except ValueError as error:
        raise UserError(str(error)) from error
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and not _frozen(name, fit))
    return model


def set_training_mode(model: nn.Module, fit: FitConfig) -> None:
    """Everything in training mode but what is frozen. cuDNN's recurrences stay in it, for no gradient goes back through
    them otherwise; they themselves hold nothing that the mode changes.
    """
    model.train()
    if not fit.freeze:
        return
    for name, module in model.named_modules():
        inside = [f"{name}.{one}" for one, _ in module.named_parameters()]
        frozen = all(_frozen(one, fit) for one in inside) if inside else _frozen(name, fit)
        if frozen and not isinstance(module, nn.RNNBase):
            module.training = False


def parameter_groups(model: nn.Module, fit: FitConfig) -> list[dict[str, Any]]:
    """For an optimizer: what learns, with the rate of each. Of several patterns the first that matches counts."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((f for pattern, f in fit.rate_factors.items() if _matches(name, pattern)), 1.0)
            groups.setdefault(factor, []).append(parameter)
    order = sorted(groups, key=lambda factor: factor != 1)  # the first group's rate is the one that is shown
    return [{"params": groups[factor], "lr": fit.learning_rate * factor} for factor in order]


def _frozen(name: str, fit: FitConfig) -> bool:
    return any(_matches(name, pattern) for pattern in fit.freeze)


def _matches(name: str, pattern: str) -> bool:
    """Whether a pattern is of this name, or of a module that it is in."""
    return any(fnmatchcase(part, pattern) for part in accumulate(name.split("."), "{}.{}".format))


def _parts(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """The modules with weights, where a model first has several."""
    children = [(name, child) for name, child in model.named_children() if any(True for _ in child.parameters())]
    if len(children) == 1:
        ((name, only),) = children
        yield from _parts(only, f"{prefix}{name}.") if any(True for _ in only.children()) else [prefix + name]
    else:
        yield from (prefix + name for name, _ in children)
