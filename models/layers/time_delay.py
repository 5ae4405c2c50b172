"""Time delays (Waibel et al. 1989, https://doi.org/10.1109/29.21701): a layer that sees a few steps of the one below.

y_t = f(sum_{i=0}^{N} W_i x_{s t + d i} + b)        N delays beside the present step, one W for all t; section II

s is the stride and d the dilation (Peddinti et al. 2015, https://doi.org/10.21437/Interspeech.2015-647, who drop
delays in between); the paper has s = d = 1. A layer sees F = d N + 1 steps, its field.

Lengths are exact: a step is real when it is computed from real steps, and everything beyond them counts as zero,
whatever the padding holds. With edges "valid", the paper's, T steps give floor((T - F) / s) + 1; a sequence shorter
than the field is followed by zeros up to it and gives one step. With edges "same" zeros stand on both
sides, (F - 1) // 2 of them before, and T steps give ceil(T / s), each over the middle of its field.

Under the first layer there may be filters that are learned with it (models/layers/time_domain_filterbank.py): they read
samples, so many a frame, and give energies that are normalized over all real frames of the batch.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.clipped_relu import CLIP
from models.interface import Padded
from models.layers.sequence_norm import SequenceNorm
from models.layers.time_domain_filterbank import FilterBank, TimeDomainFilters
from models.registry import check_rates, check_sizes, restore_config

LAYERS = ("channels", "windows", "dilations", "strides")  # options with an entry for each layer
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "clipped_relu": partial(nn.Hardtanh, 0, CLIP)}


@dataclass(frozen=True, kw_only=True)
class TimeDelayConfig:
    """The shape of a stack: one entry a layer in channels, windows, dilations and strides; defaults: the paper's.

    windows: the steps a unit sees (its delays and the present one). norm: "sequence" normalizes each unit over
    all real steps of the batch, before the activation. dropout: of each layer's output. waveform: a
    frame holds samples, which `filters` read first.
    An architecture's config that extends this one has these options as its own.
    """

    channels: tuple[int, ...] = (8,)
    windows: tuple[int, ...] = (3,)
    dilations: tuple[int, ...] = (1,)
    strides: tuple[int, ...] = (1,)
    edges: Literal["valid", "same"] = "valid"
    activation: Literal["sigmoid", "tanh", "relu", "clipped_relu"] = "sigmoid"
    norm: Literal["none", "sequence"] = "none"
    dropout: float = 0.0
    waveform: bool = False
    filters: TimeDomainFilters = TimeDomainFilters()

    def __post_init__(self) -> None:
        restore_config(self)
        if self.filters != TimeDomainFilters() and not self.waveform:
            raise ValueError("filters are for waveforms, and waveform is off")
        for name in LAYERS:
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} needs an entry for each of the {len(self.channels)} channels")
        check_sizes(self, *LAYERS)
        if not self.channels:
            raise ValueError("channels has one entry a layer, and there is no layer")
        for name, known in (("edges", ("valid", "same")), ("activation", ACTIVATIONS), ("norm", ("none", "sequence"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        check_rates(self, "dropout")

    def require_same_edges(self) -> None:
        """For an emitter's config. Raises ValueError unless there is a step for every so many frames, to the last."""
        if self.edges != "same":
            raise ValueError("edges is same: an emitter has a step for every `reduction` frames, to the last")


class TimeDelay(nn.Module):
    """sum_i W_i x_{s t + d i} + b: (B, T, D) -> (B, T', after), zero on its padding."""

    def __init__(self, before: int, shape: TimeDelayConfig, layer: int) -> None:
        super().__init__()
        self.stride, dilation = shape.strides[layer], shape.dilations[layer]
        self.same = shape.edges == "same"
        self.field = dilation * (shape.windows[layer] - 1) + 1
        after, window = shape.channels[layer], shape.windows[layer]
        self.convolve = nn.Conv1d(before, after, window, self.stride, dilation=dilation)

    def steps(self, lengths: Tensor) -> Tensor:
        """(B,) T' of each T."""
        if self.same:
            return (lengths + self.stride - 1) // self.stride
        return (lengths - self.field).clamp(min=0) // self.stride + 1

    def forward(self, x: Padded) -> Padded:
        """The padding of x must be zero."""
        before = (self.field - 1) // 2 if self.same else 0
        after = self.field - 1 - before if self.same else max(0, self.field - x.data.shape[1])
        y = self.convolve(F.pad(x.data.transpose(1, 2), (before, after))).transpose(1, 2)
        return zero_padding(Padded(y, self.steps(x.lengths)))


class FilteredWaveform(nn.Module):
    """Frames of samples (B, T, hop) to normalized log-energies (B, T, filters). Raises ValueError for another hop."""

    def __init__(self, samples: int, config: TimeDomainFilters) -> None:
        super().__init__()
        if config.hop != samples:
            raise ValueError(
                f"a frame has {samples} numbers and the filters' hop {config.hop} samples: set features.kind=waveform, "
                "and sample_rate and hop_ms of model.filters as features has them"
            )
        self.bank, self.norm = FilterBank(config), SequenceNorm(config.filters)

    def forward(self, x: Padded) -> Padded:
        """The padding of x must be zero."""
        return self.norm(self.bank(Padded(x.data.flatten(1), x.lengths * x.data.shape[2])))


class TimeDelayEncoder(nn.Module):
    """Frames (B, T, before) to (B, T', channels[-1]); what `source` holds beyond its lengths is not read.

    reduction: source steps for each output step. size: features of an output step.
    """

    def __init__(self, before: int, shape: TimeDelayConfig) -> None:
        super().__init__()
        self.reduction, self.size = math.prod(shape.strides), shape.channels[-1]
        self.filters = FilteredWaveform(before, shape.filters) if shape.waveform else None
        sizes = (shape.filters.filters if shape.waveform else before, *shape.channels)
        self.delays = nn.ModuleList(TimeDelay(sizes[n], shape, n) for n in range(len(shape.channels)))
        normed = shape.channels if shape.norm == "sequence" else ()
        self.norms = nn.ModuleList(SequenceNorm(size) for size in normed)
        self.activation = ACTIVATIONS[shape.activation]()
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, source: Padded) -> Padded:
        h = zero_padding(source)
        h = self.filters(h) if self.filters else h
        for n, delays in enumerate(self.delays):
            h = delays(h)
            h = self.norms[n](h) if self.norms else h
            h = zero_padding(Padded(self.dropout(self.activation(h.data)), h.lengths))
        return h


def zero_padding(x: Padded) -> Padded:
    """(B, T, D) with zeros beyond the lengths, even where there is nan."""
    return Padded(x.data.masked_fill(~x.mask()[..., None], 0), x.lengths)
