"""How the speech recipes that are for a laptop train, and the size of network that they train."""

from models import deep_speech_2
from tasks.training.optimizer import FitConfig


def adam(*, epochs: int, learning_rate: float, batches_per_step: int = 1) -> FitConfig:
    """AdamW with a rate that rises over a tenth of the updates and falls to nothing (Smith & Topin 2017)."""
    return FitConfig(
        epochs=epochs,
        optimizer="AdamW",
        learning_rate=learning_rate,
        optimizer_options={"weight_decay": 0.01},
        schedule="OneCycleLR",
        schedule_options={"pct_start": 0.1},
        schedule_every="step",
        clip_norm=5.0,
        batches_per_step=batches_per_step,
    )


def small_network(*, hidden_size: int, layers: int, dropout: float = 0.0) -> deep_speech_2.Config:
    """One convolution that keeps every third frame, then bidirectional LSTMs: what a laptop trains in minutes."""
    return deep_speech_2.Config(
        channels=(16,),
        time_kernels=(11,),
        time_strides=(3,),
        frequency_kernels=(21,),
        frequency_strides=(4,),
        cell="lstm",
        hidden_size=hidden_size,
        layers=layers,
        merge="concat",
        share_input=False,
        norm="input",
        dropout=dropout,
    )
