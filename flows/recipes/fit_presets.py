"""How the recipes train: the optimizers and schedules that several of them share."""

from tasks.training.optimizer import DevMetric, FitConfig


def one_cycle(
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    clip_norm: float = 5.0,
    batches_per_step: int = 1,
    best_by: DevMetric = "wer",
) -> FitConfig:
    """AdamW with a rate that rises over a tenth of the updates and falls to nothing (Smith & Topin 2017)."""
    return FitConfig(
        epochs=epochs,
        optimizer="AdamW",
        learning_rate=learning_rate,
        optimizer_options={"weight_decay": weight_decay},
        schedule="OneCycleLR",
        schedule_options={"pct_start": 0.1},
        schedule_every="step",
        loss_normalization="token",
        clip_norm=clip_norm,
        batches_per_step=batches_per_step,
        best_by=best_by,
    )


def inverse_sqrt(
    *, epochs: int, learning_rate: float, warmup_steps: int, average_last: int = 0, patience: int = 0
) -> FitConfig:
    """Adam as Vaswani et al. 2017, section 5.3, have it; learning_rate: where the warm-up ends."""
    return FitConfig(
        epochs=epochs,
        optimizer="Adam",
        learning_rate=learning_rate,
        optimizer_options={"betas": [0.9, 0.98], "eps": 1e-9},
        schedule="InverseSqrt",
        schedule_options={},
        schedule_every="step",
        warmup_steps=warmup_steps,
        loss_normalization="token",
        clip_norm=0.0,
        average_last=average_last,
        patience=patience,
        best_by="loss",
    )
