"""Any torch optimizer and learning-rate schedule by name, with warm-up, and what else a fit is told."""

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import lr_scheduler

DevMetric = Literal["wer", "cer", "loss", "error", "bleu"]
Precision = Literal["auto", "float32", "bfloat16"]
LARGER_IS_BETTER = {"bleu"}


class InverseSqrt(lr_scheduler.LambdaLR):
    """The rate of update n, from 1 on, is the learning rate times min(n / w, sqrt(w / n)), w the warm-up's updates; the
    rise to it is `warm_up`. Vaswani et al. 2017, equation 3, is this with a learning rate of (d w)^-0.5.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, warmup_steps: int) -> None:
        if warmup_steps < 1:
            raise ValueError("InverseSqrt goes down from where a warm-up ends: set fit.warmup_steps")
        super().__init__(optimizer, lambda done: (warmup_steps / max(warmup_steps, done + 1)) ** 0.5)


class HalfEpochs(lr_scheduler.LambdaLR):
    """The rate stays for `begin` epochs and is then halved, at once and after each half epoch (Sutskever et al. 2014,
    section 3.4). steps_per_epoch: on average.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, steps_per_epoch: float, begin: float = 5.0) -> None:
        def factor(done: int) -> float:
            beyond = done / steps_per_epoch - begin
            return 0.5 ** (1 + math.floor(2 * beyond + 1e-9)) if beyond > -1e-9 else 1.0

        super().__init__(optimizer, factor)


OWN_SCHEDULES = {"InverseSqrt": InverseSqrt, "HalfEpochs": HalfEpochs}


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How weights are found. epochs: at most so many. optimizer, schedule: names in torch.optim and
    torch.optim.lr_scheduler, or InverseSqrt or HalfEpochs (tasks/training/optimizer.py), "" for none.
    optimizer_options, schedule_options: their keyword arguments, as JSON. learning_rate: the highest, from which the
    schedule goes down. schedule_every: when the schedule is stepped. seed: of the first weights, the order of batches
    and all else that is random. warmup_steps: the rate rises from 0 over so many. loss_normalization: an update goes
    down the gradient of its batches' summed nats divided by their sequences, as papers on CTC, ASG and transducers have
    it, or by their target tokens, as those on language models; learning_rate and clip_norm are of that gradient (for an
    optimizer like Adam, which is free of scale, only clip_norm is). clip_norm: of the gradient, 0 for none.
    batches_per_step: batches whose gradients make one update, which the workers share: more workers than these have
    nothing to do. checkpoint_steps: updates between checkpoints, which come after each epoch too. best_by: the dev
    metric that picks the weights, bleu the largest. average_last: instead, the mean of the last so many epochs'
    weights, 0 for the best. patience: epochs without a better dev metric before stopping, 0 never. error_budget: the
    share of training utterances that may be too short for their transcript. freeze: modules or parameters that stay as
    they are, patterns of their names such as encoder.*; in them nothing is dropped, and running statistics stay too.
    precision: of matrix products in training, beside weights and sums in float32; auto: bfloat16 on a GPU.
    rate_factors: the same patterns with what multiplies the learning rate of each, such as {"encoder": 0.1}. trail:
    store the keys of every update (tests and audits). The defaults are those of Amodei et al. 2015 (Deep Speech 2,
    section 3).
    """

    epochs: int = 20
    optimizer: str = "SGD"
    learning_rate: float = 1e-4
    optimizer_options: dict[str, Any] = field(default_factory=lambda: {"momentum": 0.99, "nesterov": True})
    schedule: str = "ExponentialLR"
    schedule_options: dict[str, Any] = field(default_factory=lambda: {"gamma": 0.8})
    schedule_every: Literal["epoch", "step"] = "epoch"
    warmup_steps: int = 0
    loss_normalization: Literal["sequence", "token"] = "sequence"
    clip_norm: float = 400.0
    batches_per_step: int = 1
    checkpoint_steps: int = 200
    best_by: DevMetric = "wer"
    average_last: int = 0
    patience: int = 0
    error_budget: float = 0.05
    freeze: tuple[str, ...] = ()
    rate_factors: dict[str, float] = field(default_factory=dict)
    precision: Precision = "auto"
    seed: int = 0
    trail: bool = False

    def __post_init__(self) -> None:
        if not isinstance(getattr(torch.optim, self.optimizer, None), type):
            raise ValueError(f"fit.optimizer={self.optimizer}: not a class of torch.optim, such as SGD, Adam or AdamW")
        check_schedule(self.schedule, self.schedule_every)
        if min(self.epochs, self.batches_per_step, self.checkpoint_steps) < 1:
            raise ValueError("fit.epochs, batches_per_step and checkpoint_steps are at least 1")
        if not 0 < self.learning_rate < math.inf or not 0 <= self.clip_norm < math.inf:
            raise ValueError("fit.learning_rate is above 0, clip_norm not negative, and both are finite")
        if min(self.warmup_steps, self.average_last, self.patience) < 0 or not 0 <= self.error_budget <= 1:
            raise ValueError("fit.warmup_steps, average_last, patience are not negative, error_budget is in [0, 1]")
        for pattern, factor in self.rate_factors.items():
            if type(factor) not in (int, float) or not 0 < factor < math.inf:
                raise ValueError(
                    f"fit.rate_factors: {pattern!r} takes a number above 0, not {factor!r}; see fit.freeze"
                )
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"fit.seed is a whole number from 0 to {(1 << 63) - 1}, not {self.seed}")
        try:
            optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], self)
            make_schedule(optimizer, self, 100)
        except (TypeError, ValueError) as error:
            raise ValueError(f"fit.optimizer_options or schedule_options: {error}") from error


def check_schedule(name: str, every: str) -> None:
    """Raises ValueError for one that there is not, or that is stepped at another time. every: as `schedule_every`."""
    if name and not isinstance(find_schedule(name), type):
        own = ", ".join(OWN_SCHEDULES)
        raise ValueError(f"fit.schedule={name}: not a class of torch.optim.lr_scheduler, nor of {own}")
    if name in OWN_SCHEDULES and every != "step":
        raise ValueError(f"fit.schedule={name} counts updates: set fit.schedule_every=step")


def make_optimizer(parameters: Iterable[nn.Parameter] | list[dict[str, Any]], fit: FitConfig) -> torch.optim.Optimizer:
    """parameters: or groups of them, each with a rate of its own."""
    return getattr(torch.optim, fit.optimizer)(parameters, lr=fit.learning_rate, **fit.optimizer_options)


def find_schedule(name: str) -> Any:
    """The class of this name, None where there is none."""
    return OWN_SCHEDULES.get(name) or getattr(lr_scheduler, name, None)


def make_schedule(optimizer: torch.optim.Optimizer, fit: FitConfig, steps: int) -> Any:
    """The schedule, told the number of its steps where it wants `total_steps` or `T_max`; None for none."""
    if not fit.schedule:
        return None
    kind, options = find_schedule(fit.schedule), dict(fit.schedule_options)
    known = {"warmup_steps": fit.warmup_steps, "steps_per_epoch": steps / fit.epochs}
    if fit.schedule in OWN_SCHEDULES:
        options |= {name: value for name, value in known.items() if name in inspect.signature(kind).parameters}
    if fit.schedule == "ReduceLROnPlateau" and fit.schedule_every == "epoch" and fit.best_by in LARGER_IS_BETTER:
        options.setdefault("mode", "max")
    for name in ("total_steps", "T_max", "total_iters"):
        if name in inspect.signature(kind).parameters and name not in options and "epochs" not in options:
            options[name] = fit.epochs if fit.schedule_every == "epoch" else steps
    if fit.schedule == "OneCycleLR":
        options.setdefault("max_lr", fit.learning_rate)
        total, rise = options.get("total_steps"), options.get("pct_start", 0.3)
        if total and rise * total == 1:  # torch divides by the steps of the rise but one
            options["pct_start"] = rise * (1 + 1e-6)
    factors = [group["lr"] / fit.learning_rate for group in optimizer.param_groups]
    for name in ("max_lr", "base_lr"):  # rates that are given as such; other schedules multiply those of the groups
        if isinstance(options.get(name), int | float) and any(factor != 1 for factor in factors):
            options[name] = [options[name] * factor for factor in factors]
    return kind(optimizer, **options)


def is_better(metric: str, value: float, best: float) -> bool:
    """Of a dev metric by its name, without `dev_`."""
    return value > best if metric in LARGER_IS_BETTER else value < best


def advance(schedule: Any, metric: float) -> None:
    """One step of a schedule, with the dev metric where it asks for one (ReduceLROnPlateau)."""
    if schedule is not None:
        wants = "metrics" in inspect.signature(schedule.step).parameters
        schedule.step(metric) if wants else schedule.step()


def warm_up(optimizer: torch.optim.Optimizer, fit: FitConfig, step: int) -> None:
    """Scale the rates of this step while warming up; `cool_down` restores what the schedule works on."""
    if step < fit.warmup_steps:
        for group in optimizer.param_groups:
            group["lr"] *= (step + 1) / fit.warmup_steps


def cool_down(optimizer: torch.optim.Optimizer, rates: list[float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
