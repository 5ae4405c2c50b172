"""Convolutional sequence to sequence learning (Gehring et al. 2017, https://arxiv.org/abs/1705.03122).

e_j = w_j + p_j                                             tokens and where they stand, section 3.1
h^l = r (v(W^l [h^{l-1}_{i-k/2} .. h^{l-1}_{i+k/2}] + b^l) + h^{l-1})       v the gated linear unit, section 3.2
z = W h + b, of the encoder's last layer; of the decoder every layer sees its past alone, and attends (section 3.3):
d_i^l = r (W_d^l h_i^l + b_d^l + g_i)                       g_i the embedding of the token read
a_ij^l = softmax_j(d_i^l . z_j),  c_i^l = m sqrt(1/m) sum_j a_ij^l r (z_j + e_j)          m the source's steps
p(y_{i+1} | x, y_<=i) = softmax(W_o (W h_i^L + b) + b_o)

r = sqrt(0.5) keeps the variance of a sum of two; as in the authors' program it stands at every such sum. All matrices
have weight normalization, and begin from N(0, sqrt(p/n)) or, before a gated linear unit, N(0, sqrt(4p/n)), p what
dropout keeps, n their inputs (section 3.5); embeddings from N(0, 0.1^2). The gradient of z is divided by the number of
attentions (section 3.4).

The defaults are the network for WMT English to German: 15 layers a side, embeddings of 512. With vocabularies of 40,000
pieces that is 154,464,896 parameters.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from models.families.sequence_to_sequence import SequenceToSequence, read_tokens
from models.interface import Memory, Padded, Step
from models.layers.decoder.scheduled_sampling import Sampling
from models.registry import check_rates, check_sizes, restore_config

Layer = tuple[int, int]  # kernel width and outputs
WMT: tuple[Layer, ...] = (*((3, 512),) * 10, *((3, 768),) * 3, *((1, 2048),) * 2)
HALF = 0.5**0.5


@dataclass(frozen=True, kw_only=True)
class Config:
    """encoder, decoder: of each layer its kernel width and outputs; an encoder's kernels are odd. positions: the most
    tokens of a side that the network can read. dropout: of the embeddings, of each convolution's input, of what the
    output reads.
    """

    embedding_size: int = 512
    encoder: tuple[Layer, ...] = WMT
    decoder: tuple[Layer, ...] = WMT
    positions: int = 1024
    dropout: float = 0.2
    label_smoothing: float = 0.0
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        for side in ("encoder", "decoder"):
            layers = tuple((kernel, outputs) for kernel, outputs in getattr(self, side))
            object.__setattr__(self, side, layers)  # JSON brings lists
            if not layers or min(map(min, layers)) < 1:
                raise ValueError(f"{side} has one layer or more, kernels and outputs of at least 1")
        restore_config(self)
        if not all(kernel % 2 for kernel, _ in self.encoder):
            raise ValueError("an encoder's kernels are odd: as many steps on the left as on the right")
        check_sizes(self, "embedding_size")
        if self.positions < 2:
            raise ValueError(f"positions is at least 2, not {self.positions}")
        check_rates(self, "dropout", "label_smoothing")

    def build(self, source_size: int, target_size: int) -> "ConvS2S":
        return ConvS2S(self, source_size, target_size)


class Looked(NamedTuple):
    keys: Tensor  # (B, T, E) z
    values: Tensor  # (B, T, E) r (z + e)
    real: Tensor  # (B, T) bool, false on padding


class ConvState(NamedTuple):
    """pasts: of each layer the last k - 1 inputs (N, k - 1, C)."""

    pasts: tuple[Tensor, ...]
    read: Tensor  # (N,) tokens read


class ConvS2S(SequenceToSequence):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling, size = config, config.sampling, config.embedding_size
        self.longest = config.positions
        self.dropout = nn.Dropout(config.dropout)
        self.source = PositionedEmbedding(source_size, config)
        self.target = PositionedEmbedding(target_size, config)
        self.enter = self._linear(size, config.encoder[0][1])
        self.encoder, width = nn.ModuleList(), config.encoder[0][1]
        for kernel, outputs in config.encoder:
            self.encoder.append(GatedLayer(width, (kernel, outputs), config.dropout))
            width = outputs
        self.leave = self._linear(width, size)
        self.begin = self._linear(size, config.decoder[0][1])
        self.decoder, width = nn.ModuleList(), config.decoder[0][1]
        self.looks, self.returns = nn.ModuleList(), nn.ModuleList()
        for kernel, outputs in config.decoder:
            self.decoder.append(GatedLayer(width, (kernel, outputs), config.dropout))
            self.looks.append(self._linear(outputs, size))
            self.returns.append(self._linear(size, outputs))
            width = outputs
        self.end = self._linear(width, size)
        self.output = self._linear(size, target_size)

    def _linear(self, before: int, after: int) -> nn.Module:
        return normalized(nn.Linear(before, after), 1 - self.config.dropout)

    def encode(self, source: Padded | None) -> Memory:
        """Tokens (B, T) to keys and values of T + 1 steps. Raises ValueError for more than `positions`."""
        x = read_tokens(source)
        if (most := int(x.lengths.max()) if len(x.lengths) else 0) > self.config.positions:
            raise ValueError(f"a source of {most - 1} tokens is longer than positions={self.config.positions} allows")
        real = x.mask()
        e = self.dropout(self.source(x.data, torch.arange(x.data.shape[1], device=x.data.device)))
        h = self.enter(e)
        for layer, (kernel, _) in zip(self.encoder, self.config.encoder, strict=True):
            h = h.masked_fill(~real[..., None], 0)
            y, h = layer(h, F.pad(self.dropout(h), (0, 0, kernel // 2, kernel // 2)))
            h = (y + h) * HALF
        z = self.leave(h)
        if z.requires_grad:
            z.register_hook(lambda slope: slope / len(self.decoder))
        return Memory(Looked(z, (z + e) * HALF, real), x.lengths)

    def predict(self, memory: Memory, read: Padded) -> Tensor:
        batch, steps = read.data.shape
        if steps > self.config.positions:
            raise ValueError(f"a target of {steps - 1} tokens is longer than positions={self.config.positions} allows")
        g = self.dropout(self.target(read.data, torch.arange(steps, device=read.data.device)))
        return self._write(g, self.start(memory, batch), memory.data)[0]

    def start(self, memory: Memory | None, batch_size: int) -> ConvState:
        assert memory is not None, "a decoder looks at a memory"
        zeros, width, pasts = memory.data.keys.new_zeros, self.config.decoder[0][1], []
        for kernel, outputs in self.config.decoder:
            pasts.append(zeros(batch_size, kernel - 1, width))
            width = outputs
        return ConvState(tuple(pasts), zeros(batch_size, dtype=torch.long))

    def step(self, tokens: Tensor, state: ConvState, memory: Memory | None) -> Step:
        assert memory is not None, "a decoder looks at a memory"
        g = self.dropout(self.target(tokens, state.read))[:, None]
        logits, state, weights = self._write(g, state, memory.data)
        return Step(logits[:, 0].log_softmax(-1), state, weights)

    def _write(self, g: Tensor, state: ConvState, memory: Looked) -> tuple[Tensor, ConvState, Tensor]:
        """g (N, U, E) after a state to logits (N, U, V), the state after them, and the last layer's attention (N, T)
        of the last step.
        """
        h, pasts, weights = self.begin(g), [], g
        for layer, look, back, past in zip(self.decoder, self.looks, self.returns, state.pasts, strict=True):
            seen = torch.cat((past, self.dropout(h)), 1)
            pasts.append(seen[:, seen.shape[1] - past.shape[1] :])
            y, h = layer(h, seen)
            context, weights = self._attend((look(y) + g) * HALF, memory)
            h = ((y + back(context)) * HALF + h) * HALF
        after = ConvState(tuple(pasts), state.read + g.shape[1])
        return self.output(self.dropout(self.end(h))), after, weights[:, -1]

    def _attend(self, d: Tensor, memory: Looked) -> tuple[Tensor, Tensor]:
        """d (N, U, E) to c (N, U, E) and the weights (N, U, T), for N = B K and a memory of B rows."""
        rows = len(memory.keys)
        queries = d.reshape(rows, -1, d.shape[2]) if rows else d
        energies = (queries @ memory.keys.transpose(1, 2)).masked_fill(~memory.real[:, None], -torch.inf)
        weights = energies.softmax(-1)
        scale = memory.real.sum(1)[:, None, None].to(d.dtype).sqrt()
        context = (weights @ memory.values) * scale
        return context.view_as(d), weights.view(*d.shape[:2], -1)

    def limits(self, source: Padded) -> Tensor:
        return super().limits(source).clamp(max=self.config.positions - 1)


class PositionedEmbedding(nn.Module):
    """w + p of tokens (...) at positions that broadcast with them: (..., E)."""

    def __init__(self, tokens: int, config: Config) -> None:
        super().__init__()
        self.token = nn.Embedding(tokens, config.embedding_size)
        self.position = nn.Embedding(config.positions, config.embedding_size)
        for table in (self.token, self.position):
            nn.init.normal_(table.weight, 0, 0.1)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        return self.token(tokens) + self.position(positions)


class GatedLayer(nn.Module):
    """v(W [..] + b) of what a step sees, and the shortcut, a linear map where input and output differ in size."""

    def __init__(self, before: int, layer: Layer, dropout: float) -> None:
        super().__init__()
        kernel, after = layer
        self.convolve = normalized(nn.Conv1d(before, 2 * after, kernel), 4 * (1 - dropout))
        self.shortcut = nn.Identity() if before == after else normalized(nn.Linear(before, after), 1 - dropout)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, before), and with the k - 1 steps beside it (B, T + k - 1, before), to two of (B, T, after)."""
        return F.glu(self.convolve(seen.transpose(1, 2)), 1).transpose(1, 2), self.shortcut(x)


def normalized(layer: nn.Linear | nn.Conv1d, variance: float) -> nn.Module:
    """With weight normalization, its weights from N(0, sqrt(variance / inputs)), its bias 0."""
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, 0, (variance / inputs) ** 0.5)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return weight_norm(layer)
