"""Recurrent transducer (Graves et al. 2013, https://arxiv.org/abs/1303.5778, section 3.2): speech without alignment.

h^N = recurrent layers of x_1 .. x_T             encoder
p_u = recurrent layer of y_1 .. y_u              prediction network; y_u as 1 of K, all zeros before the first
l_t = W_hl h^N_t + b_l
h_tu = tanh(W_lh l_t + W_ph p_u + b_h)           output network
Pr(k | t, u) = softmax_k(W_hy h_tu + b_y)        the next symbol, or blank: on to the next frame

The defaults are the paper's Trans-3l-250H: three bidirectional layers of 250 LSTM cells with peepholes, all other
layers of 250 as well. With its 123 features and 61 phonemes, 4.3 million weights. Weight noise of 0.075, with which the
paper trains in the end, is `encoder.weight_noise` and `prediction.weight_noise`.

The streaming form (He et al. 2018, https://arxiv.org/abs/1811.06621): each step of the encoder reads 3 frames and one
before, 8 unidirectional layers of 2048 with projection 640, after the second of which 2 steps become one; prediction
network of 2 such layers; output network of 640; no l_t (it also has layer normalization, which is here for layers
without projection: encoder.lstm.layer_norm):

    left_frames=1, stride=3, encoder=Recurrent(layers=8, hidden_size=2048, projection=640), time_reduction=2,
    prediction=Recurrent(layers=2, hidden_size=2048, projection=640), linear_size=0, joint_size=640
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.lstm import Config as LSTMOptions
from models.criteria.transducer import transducer
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded, State
from models.layers.rnn_layer import concatenate_steps
from models.layers.rnn_stack import Recurrent, Stack
from models.layers.sequence_norm import SequenceNorm
from models.registry import check_rates, check_sizes, restore_config
from models.search.transducer.beam import BeamSearch, start_search, transducer_beam
from models.search.transducer.greedy import GreedySearch
from models.special_tokens import BLANK

PEEPHOLES = LSTMOptions(peepholes=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """stride: new frames that a step of the encoder reads, with `left_frames` before them. time_reduction: steps that
    become one after the first `reduce_after` layers, 1 for none. embedding_size: of the tokens that the prediction
    network reads, 0 for 1 of K. linear_size: of l_t, 0 for none. joint_size: of h_tu. dropout: on what the recurrent
    layers read, and on what they give; between the encoder's layers it is the encoder's. normalize: what each layer of
    the encoder reads, and what the last one gives, is normalized over all real steps of the batch, as in Deep Speech 2;
    it trains in far fewer steps. symbols_per_step: so many tokens may be found in one step.
    """

    left_frames: int = 0
    stride: int = 1
    encoder: Recurrent = Recurrent(layers=3, hidden_size=250, bidirectional=True, lstm=PEEPHOLES)
    time_reduction: int = 1
    reduce_after: int = 2
    embedding_size: int = 0
    prediction: Recurrent = Recurrent(layers=1, hidden_size=250, lstm=PEEPHOLES)
    linear_size: int = 250
    joint_size: int = 250
    dropout: float = 0.0
    normalize: bool = False
    symbols_per_step: int = 4

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "stride", "time_reduction", "reduce_after", "joint_size", "symbols_per_step")
        check_rates(self, "dropout")
        if min(self.left_frames, self.embedding_size, self.linear_size) < 0:
            raise ValueError("left_frames, embedding_size and linear_size are not negative")
        if self.time_reduction > 1 and self.encoder.layers <= self.reduce_after:
            raise ValueError(f"time_reduction comes after layer {self.reduce_after} of {self.encoder.layers}")
        if self.normalize and self.encoder.norm == "input":
            raise ValueError("normalize and encoder.norm=input normalize the same: set one of them")
        if self.encoder.pyramid > 1:
            raise ValueError("encoder.pyramid: a transducer has time_reduction instead; leave it at 1")
        if self.encoder.bidirectional_first or self.encoder.residual:
            raise ValueError("a transducer's encoder has layers of one kind: no bidirectional_first, no residual")
        if not self.prediction.streams:
            raise ValueError("the prediction network reads forward, step by step: not bidirectional, pyramid 1")

    def build(self, source_size: int, target_size: int) -> "RNNTransducer":
        return RNNTransducer(self, source_size, target_size)


class EncoderStream(NamedTuple):
    """Where an encoder stands in frames that come in chunks. waiting: frames of a step that is not whole yet."""

    waiting: Tensor  # (B, w, D)
    left: Tensor  # (B, left_frames, D) before them
    layers: tuple[State, ...]


class RNNTransducer(Model):
    """A `Transducer`. `listen` encodes a stream."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config = config
        self.reduction = config.stride * config.time_reduction
        self.source_size, self.tokens = source_size, target_size
        size = source_size * (config.left_frames + config.stride)
        self.encoder, self.norms = nn.ModuleList(), nn.ModuleList()
        for k in range(config.encoder.layers):
            size *= config.time_reduction if k == config.reduce_after else 1
            self.norms.append(SequenceNorm(size) if config.normalize else nn.Identity())
            self.encoder.append(Stack(config.encoder.layer(k), size))
            size = config.encoder.output_size
        self.norms.append(SequenceNorm(size) if config.normalize else nn.Identity())
        inputs = config.embedding_size or target_size - 1
        self.embedding = nn.Embedding(target_size, inputs, padding_idx=BLANK) if config.embedding_size else None
        self.prediction = Stack(config.prediction, inputs)
        self.dropout, self.between = nn.Dropout(config.dropout), nn.Dropout(config.encoder.dropout)
        self.linear = nn.Linear(size, config.linear_size) if config.linear_size else nn.Identity()
        self.join_frames = nn.Linear(config.linear_size or size, config.joint_size)
        self.join_prefixes = nn.Linear(config.prediction.output_size, config.joint_size, bias=False)
        self.output = nn.Linear(config.joint_size, target_size)

    def loss(self, batch: Batch) -> Loss:
        return transducer(self.encode(batch.given), self.prefixes(batch.target), self.output, batch.target)

    def encode(self, source: Padded) -> Padded:
        """Frames (B, T, D) to W_lh l + b_h (B, ceil(T / reduction), J)."""
        x = Padded(source.data.masked_fill(~source.mask()[..., None], 0), source.lengths)
        return self._encode(x, self.begin(len(x.lengths)), own_ends=False)[0]

    def begin(self, batch_size: int) -> EncoderStream:
        """Before the first frame of a stream."""
        none = self.output.weight.new_zeros(batch_size, 0, self.source_size)
        left = F.pad(none, (0, 0, self.config.left_frames, 0))
        return EncoderStream(none, left, tuple(stack.begin(batch_size) for stack in self.encoder))  # pyright: ignore[reportCallIssue]

    @property
    def streams(self) -> bool:
        """Whether `listen` can read this model's frames as they come."""
        return self.config.encoder.streams

    def listen(self, frames: Tensor, stream: EncoderStream, *, last: bool) -> tuple[Tensor, EncoderStream]:
        """The next frames (B, n, D) of streams to what `encode` makes of them (B, n', J), as far as it is known.

        A step waits until all its frames are there, or for the last. Raises ValueError for a bidirectional encoder.
        """
        if not self.streams:
            raise ValueError("a bidirectional encoder reads to the end before it begins: it has no stream")
        frames = torch.cat((stream.waiting, frames), 1)
        ready = frames.shape[1] if last else frames.shape[1] // self.reduction * self.reduction
        lengths = torch.full((len(frames),), ready, device=frames.device)
        found, after = self._encode(Padded(frames[:, :ready], lengths), stream, own_ends=True)
        return found.data, after._replace(waiting=frames[:, ready:])

    def _encode(self, x: Padded, stream: EncoderStream, *, own_ends: bool) -> tuple[Padded, EncoderStream]:
        seen, after = torch.cat((stream.left, x.data), 1), []
        h = stack_frames(seen, x.lengths, self.config.left_frames, self.config.stride)
        h = Padded(self.dropout(h.data), h.lengths)
        for k, (layer, state) in enumerate(zip(self.encoder, stream.layers, strict=True)):
            h = Padded(self.between(h.data) if k else h.data, h.lengths)
            h = concatenate_steps(h, self.config.time_reduction) if k == self.config.reduce_after else h
            h, ended = layer(self.norms[k](h), state, own_ends=own_ends)
            after.append(ended)
        h = self.norms[-1](h)
        left = seen[:, seen.shape[1] - self.config.left_frames :]
        joining = self.join_frames(self.linear(self.dropout(h.data)))
        return Padded(joining, h.lengths), EncoderStream(x.data, left, tuple(after))

    def prefixes(self, target: Padded) -> Tensor:
        """W_ph p of tokens (B, U): (B, U + 1, J)."""
        read = Padded(F.pad(target.data.masked_fill(~target.mask(), BLANK), (1, 0), value=BLANK), target.lengths + 1)
        p, _ = self.prediction(Padded(self._read(read.data), read.lengths), own_ends=False)
        return self.join_prefixes(self.dropout(p.data))

    def start(self, batch_size: int) -> tuple[Tensor, State]:
        none = torch.full((batch_size,), BLANK, device=self.output.weight.device)
        return self.predict(none, self.prediction.begin(batch_size))

    def predict(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        p, state = self.prediction.step(self._read(tokens), state)
        return self.join_prefixes(p), state

    def join(self, frames: Tensor, prefixes: Tensor) -> Tensor:
        return self.output((frames + prefixes).tanh_()).log_softmax(-1)

    def _read(self, tokens: Tensor) -> Tensor:
        """What the prediction network reads of tokens (...): (..., E), zeros of BLANK."""
        if self.embedding is not None:
            return self.dropout(self.embedding(tokens))
        return F.one_hot(tokens, self.tokens)[..., 1:].to(self.output.weight.dtype)

    def start_search(self, beam: Beam) -> GreedySearch | BeamSearch:
        """A search of one utterance whose encoded frames come one after the other."""
        return start_search(self, 1, beam, None, self.config.symbols_per_step)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return transducer_beam(self, source, beam, lm, symbols=self.config.symbols_per_step)


def stack_frames(seen: Tensor, lengths: Tensor, left: int, stride: int) -> Padded:
    """Frames (B, left + T, D) to steps (B, ceil(T / stride), (left + stride) D): `stride` frames and those before.

    lengths: (B,) without those before. The last step of a sequence is filled up with zeros.
    """
    batch, time, features = seen.shape
    filled = F.pad(seen, (0, 0, 0, (left - time) % stride))
    steps = (filled.shape[1] - left) // stride
    if not steps:
        return Padded(seen.new_zeros(batch, 0, (left + stride) * features), lengths)
    windows = filled.unfold(1, left + stride, stride).transpose(2, 3).reshape(batch, steps, (left + stride) * features)
    return Padded(windows, (lengths + stride - 1) // stride)
