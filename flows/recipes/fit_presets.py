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
