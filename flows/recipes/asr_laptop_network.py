"""The network of the speech recipes that are for a laptop."""

from models import deep_speech_2


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
