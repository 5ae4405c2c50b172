"""Deep Speech 2 (Amodei et al. 2015, https://arxiv.org/abs/1512.02595): convolutions, recurrence, CTC.

h^0 = x                                          frames, (T, bands)
h^l = f(B(w^l * h^{l-1}))                        "same" convolutions over time x frequency, strided; section 3.5
h^l = ->h^l + <-h^l                              bidirectional recurrence, sequence-wise norm; sections 3.1, 3.2
p_t = softmax(W B(h^L_t) + b)                    one distribution over characters and blank a step
f(z) = min(max(z, 0), 20);  B: normalization over all real steps of the batch;  loss: CTC

The recurrence is any of models/layers/rnn_stack.py. The defaults are the paper's best English net: 3 convolutions, 7
plain layers of 1280, whose directions share the normalized product W x. With 161 spectrogram bins and 29 characters
that is 36,367,037 parameters (the paper says 35 million); with cell "gru" 107.1 million. Where the input x is
normalized and no product is shared, norm "input" and no `share_input`, the library's gated cells run and are faster:
with "gru" 144.4 million, with "lstm" 192.2 million.

Several networks that differ in their random beginning alone can stand side by side and emit the mean of their
probabilities (Hansen & Salamon 1990, https://doi.org/10.1109/34.58871). CTC leaves each of them free where in a sound
it puts a letter, and a letter at two places is two letters; so they are trained by their own losses and, as much, by
that of what they emit together.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from models.cells.clipped_relu import clipped_relu
from models.cells.elman_jordan import Config as ElmanOptions
from models.criteria.ctc import ctc
from models.families.ctc_model import CTCModel
from models.interface import Batch, Loss, Padded
from models.layers.ensemble import mean_of_probabilities
from models.layers.rnn_stack import CellName, Merge, Norm, Recurrent, Stack
from models.layers.sequence_norm import SequenceNorm
from models.registry import check_sizes

CONVOLUTIONS = ("channels", "time_kernels", "time_strides", "frequency_kernels", "frequency_strides")
EARLIER_OPTIONS = {*CONVOLUTIONS, "cell", "hidden_size", "layers", "merge", "dropout"}
EARLIER_CELLS = {"rnn": ("elman", True), "shared_gru": ("gru", True), "gru": ("gru", False), "lstm": ("lstm", False)}


@dataclass(frozen=True, kw_only=True)
class Config(Recurrent):
    """One entry a convolution in `channels`, kernels (odd) and strides; none at all leaves the recurrence.

    norm: other than none, what the output reads is normalized too; the convolutions always are. dropout: between
    recurrent layers and before the output; the paper uses none. members: how many networks emit together.
    """

    drops_elsewhere: ClassVar[bool] = True
    channels: tuple[int, ...] = (32, 32, 96)
    time_kernels: tuple[int, ...] = (11, 11, 11)
    time_strides: tuple[int, ...] = (2, 1, 1)
    frequency_kernels: tuple[int, ...] = (41, 21, 21)
    frequency_strides: tuple[int, ...] = (2, 2, 2)
    cell: CellName = "elman"
    elman: ElmanOptions = ElmanOptions(nonlinearity="clipped_relu")
    hidden_size: int = 1280
    layers: int = 7
    bidirectional: bool = True
    merge: Merge = "sum"
    share_input: bool = True
    norm: Norm = "product"
    members: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in CONVOLUTIONS:
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} needs an entry for each of the {len(self.channels)} channels")
        if any(k % 2 == 0 for k in self.time_kernels + self.frequency_kernels):
            raise ValueError("time_kernels and frequency_kernels are odd, so that a step has its own center")
        check_sizes(self, *CONVOLUTIONS, "members")

    def build(self, source_size: int, target_size: int) -> "DeepSpeech2":
        return DeepSpeech2(self, source_size, target_size)


class Convolution(nn.Module):
    """f(B(w * x)): (B, T, C, bands) -> (B, ceil(T / stride), C', ceil(bands / stride)).

    Padding is zero on both sides, and since zero is what a convolution pads with, none leaks in.
    """

    def __init__(self, before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.stride = stride[0]
        same = (kernel[0] // 2, kernel[1] // 2)
        self.convolve = nn.Conv2d(before, after, kernel, stride, same, bias=False)
        self.norm = SequenceNorm(after)

    def forward(self, x: Padded) -> Padded:
        y = self.convolve(x.data.transpose(1, 2)).transpose(1, 2)
        y = self.norm(Padded(y, reduced(x.lengths, self.stride)))
        return Padded(clipped_relu(y.data), y.lengths)


def reduced(lengths: torch.Tensor, stride: int) -> torch.Tensor:
    """ceil(lengths / stride)."""
    return (lengths + stride - 1) // stride


class Network(nn.Module):
    """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        kernels = zip(config.time_kernels, config.frequency_kernels, strict=True)
        strides = zip(config.time_strides, config.frequency_strides, strict=True)
        channels = (1, *config.channels)
        self.convolutions = nn.ModuleList(
            Convolution(*shape) for shape in zip(channels, channels[1:], kernels, strides, strict=False)
        )
        bands = -(-source_size // math.prod(config.frequency_strides))
        self.recurrent = Stack(config, channels[-1] * bands)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.Identity() if config.norm == "none" else SequenceNorm(config.output_size)
        self.output = nn.Linear(config.output_size, target_size)

    def forward(self, source: Padded) -> Padded:
        silent = source.data.masked_fill(~source.mask()[..., None], 0)
        h = Padded(silent[:, :, None], source.lengths)  # (B, T, 1, bands)
        for convolution in self.convolutions:
            h = convolution(h)
        h, _ = self.recurrent(Padded(h.data.flatten(2), h.lengths), own_ends=False)
        h = self.norm(Padded(self.dropout(h.data), h.lengths))
        return Padded(self.output(h.data).log_softmax(-1), h.lengths)


class DeepSpeech2(CTCModel):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.reduction = math.prod(config.time_strides) * config.pyramid ** (config.layers - 1)
        self.members = nn.ModuleList(Network(config, source_size, target_size) for _ in range(config.members))
        self.register_load_state_dict_pre_hook(_of_one)

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""
        return _together([member(source) for member in self.members])

    def loss(self, batch: Batch) -> Loss:
        """Of one network, its own; of several, half the mean of their own and half that of what they emit together."""
        said = [member(batch.given) for member in self.members]
        losses = [ctc(emissions, batch.target) for emissions in said]
        if len(said) == 1:
            return losses[0]
        alone = torch.stack([loss.total for loss in losses]).mean()
        return Loss((alone + ctc(_together(said), batch.target).total) / 2, losses[0].count)


def update_options(options: dict[str, Any]) -> dict[str, Any]:
    """A bundle's, which are all that there are; those from before there was one recurrence for all, as of today."""
    if options.keys() - {"members"} != EARLIER_OPTIONS:
        return options
    cell, shared = EARLIER_CELLS[options["cell"]]
    return options | {"cell": cell, "share_input": shared, "norm": "product" if shared else "input"}


def _together(said: list[Padded]) -> Padded:
    return Padded(mean_of_probabilities([emissions.data for emissions in said]), said[0].lengths)


def _of_one(_model: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights of bundles from before there could be several networks are those of the first."""
    for name in [name for name in weights if name.startswith(prefix)]:
        if not (own := name.removeprefix(prefix)).startswith("members."):
            weights[f"{prefix}members.0.{own}"] = weights.pop(name)
