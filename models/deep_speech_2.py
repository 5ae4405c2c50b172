"""Deep Speech 2 (Amodei et al. 2015, https://arxiv.org/abs/1512.02595): convolutions, recurrence, CTC.

h^0 = x                                          frames, (T, bands)
h^l = f(B(w^l * h^{l-1}))                        "same" convolutions over time x frequency, strided; section 3.5
h^l = ->h^l + <-h^l                              bidirectional recurrence, sequence-wise norm; sections 3.1, 3.2
p_t = softmax(W B(h^L_t) + b)                    one distribution over characters and blank a step
f(z) = min(max(z, 0), 20);  B: normalisation over all real steps of the batch;  loss: CTC

The defaults are the paper's best English net: 3 convolutions, 7 plain layers of 1280. With 161
spectrogram bins and 29 characters that is 36,367,037 parameters (the paper says 35 million). 7 GRU layers whose
directions share the input product too, the cell "shared_gru", have 107.1 million. The library's gated cells share none
and are faster: with "gru" 144.4 million, with "lstm" 192.2 million.

Several networks that differ in their random beginning alone can stand side by side and emit the mean of their
probabilities (Hansen & Salamon 1990, https://doi.org/10.1109/34.58871). CTC leaves each of them free where in a sound
it puts a letter, and a letter at two places is two letters; so they are trained by their own losses and, as much, by
that of what they emit together.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from models.criteria.ctc import ctc
from models.interface import Batch, Beam, Decoder, FrameSynchronousModel, Hypothesis, Loss, Padded
from models.layers.bidirectional import CLIP, CellName, Merge, bidirectional, merged_size
from models.layers.ensemble import mean_of_probabilities
from models.layers.sequence_norm import SequenceNorm
from models.search.ctc.beam import ctc_beam


@dataclass(frozen=True, kw_only=True)
class Config:
    """One entry a convolution in `channels`, kernels (odd) and strides; none at all leaves the recurrence.

    merge: the directions' vectors are summed (the paper) or concatenated. dropout: between recurrent
    layers and before the output; the paper uses none. members: how many networks emit together.
    """

    channels: tuple[int, ...] = (32, 32, 96)
    time_kernels: tuple[int, ...] = (11, 11, 11)
    time_strides: tuple[int, ...] = (2, 1, 1)
    frequency_kernels: tuple[int, ...] = (41, 21, 21)
    frequency_strides: tuple[int, ...] = (2, 2, 2)
    cell: CellName = "rnn"
    hidden_size: int = 1280
    layers: int = 7
    merge: Merge = "sum"
    dropout: float = 0.0
    members: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "time_kernels", "time_strides", "frequency_kernels", "frequency_strides"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON brings lists
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} needs an entry for each of the {len(self.channels)} channels")
            if any(n < 1 for n in getattr(self, name)):
                raise ValueError(f"{name} are at least 1, not {getattr(self, name)}")
        if any(k % 2 == 0 for k in self.time_kernels + self.frequency_kernels):
            raise ValueError("time_kernels and frequency_kernels are odd, so that a step has its own centre")
        if min(self.layers, self.hidden_size, self.members) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("layers, hidden_size and members are at least 1, dropout is in [0, 1)")
        bidirectional(self.cell, 1, 1, self.merge)

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
        return Padded(F.hardtanh(y.data, 0, CLIP), y.lengths)


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
        size = merged_size(config.hidden_size, config.merge)
        sizes = [channels[-1] * bands] + [size] * (config.layers - 1)
        self.recurrent = nn.ModuleList(bidirectional(config.cell, s, config.hidden_size, config.merge) for s in sizes)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = SequenceNorm(size)
        self.output = nn.Linear(size, target_size)

    def forward(self, source: Padded) -> Padded:
        silent = source.data.masked_fill(~source.mask()[..., None], 0)
        h = Padded(silent[:, :, None], source.lengths)  # (B, T, 1, bands)
        for convolution in self.convolutions:
            h = convolution(h)
        h = Padded(h.data.flatten(2), h.lengths)
        for layer in self.recurrent:
            h = layer(h)
            h = Padded(self.dropout(h.data), h.lengths)
        h = self.norm(h)
        return Padded(self.output(h.data).log_softmax(-1), h.lengths)


class DeepSpeech2(FrameSynchronousModel):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.reduction = math.prod(config.time_strides)
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

    def search_emissions(self, emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return ctc_beam(emissions, beam, lm)


def _together(said: list[Padded]) -> Padded:
    return Padded(mean_of_probabilities([emissions.data for emissions in said]), said[0].lengths)


def _of_one(_model: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights of bundles from before there could be several networks are those of the first."""
    for name in [name for name in weights if name.startswith(prefix)]:
        if not (own := name.removeprefix(prefix)).startswith("members."):
            weights[f"{prefix}members.0.{own}"] = weights.pop(name)
