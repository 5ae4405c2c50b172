"""Listen, Attend and Spell: a pyramid listens, a recurrent network that attends to it spells.

h^0 = x                                          frames, (T, D)
h^j = BLSTM([h^{j-1}_{2u}, h^{j-1}_{2u+1}])      equation 5; the bottom layer reads every step for itself
s_i = LSTM(s_{i-1}, [y_{i-1}, c_{i-1}])          equation 7
c_i = sum_u alpha_iu h_u                         equations 6, 9 to 11: models/layers/attention.py
p(y_i | x, y_<i) = softmax(W tanh(V [s_i, c_i] + b) + d)        equation 8, its MLP
L = -sum_i log p(y*_i | x, y~_<i)                y~ is the truth y* or, at `sampling_rate`, drawn from p; section 3.3

Chan et al. 2015, https://arxiv.org/abs/1508.01211, whose equations and defaults these are: a layer and a pyramid of 3,
256 units a direction, a speller of 2 x 512, every weight from U(-0.1, 0.1). It does not tell the sizes of the embedding
and of phi and psi. With 40 bands and 32 characters these defaults have 14,820,896 parameters.

Chiu et al. 2018, https://arxiv.org/abs/1712.01769: `chiu_2018()`. Its ramp of the sampling rate and its training for
the least word error rate are not here.

Joint CTC and attention, Kim et al. 2017, https://arxiv.org/abs/1609.06773: ctc_weight L_ctc + (1 - ctc_weight) L, CTC
by a softmax over h. Only a model with this head is an `EmissionModel`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.criteria.ctc import ctc
from models.families.recurrent_decoder import RecurrentDecoder
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Memory, Padded
from models.layers.attention import AttendedMemory, Attention, Score
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_layer import concatenate_steps
from models.layers.rnn_stack import Recurrent, recurrent_layer
from models.registry import check_positive, check_rates, check_sizes, restore_config
from models.search.attention.beam import attention_beam

FRAMES_A_TOKEN = 2  # no search writes more: at 10 ms a frame that is 50 characters a second, twice the fastest speech


@dataclass(frozen=True, kw_only=True)
class Config:
    """reductions: an entry a BLSTM, of `listener_size` units a direction: so many steps below are one step of it.

    attention_size: the features of phi and psi, over all heads. sampling_rate: the share of characters that the speller
    reads as it would have written them, not as they are. dropout: on the output of each BLSTM and each LSTM of the
    speller. initial_range: of all weights at first. ctc_weight: see above; 0 builds no CTC head.
    """

    reductions: tuple[int, ...] = (1, 2, 2, 2)
    listener_size: int = 256
    embedding_size: int = 512
    speller_size: int = 512
    speller_layers: int = 2
    attention: Score = "dot"
    attention_size: int = 512
    heads: int = 1
    sampling_rate: float = 0.1
    professor_forcing: ProfessorForcing = ProfessorForcing()
    label_smoothing: float = 0.0
    dropout: float = 0.0
    ctc_weight: float = 0.0
    initial_range: float = 0.1

    def __post_init__(self) -> None:
        restore_config(self)
        check_sizes(self, "listener_size", "embedding_size", "speller_size", "speller_layers", "attention_size")
        check_sizes(self, "reductions")
        check_rates(self, "label_smoothing", "dropout", "ctc_weight")
        check_positive(self, "initial_range")
        if not self.reductions:
            raise ValueError("there is a reduction for each BLSTM, and so at least one")
        if not 0 <= self.sampling_rate <= 1:
            raise ValueError(f"sampling_rate is in [0, 1], not {self.sampling_rate}")
        Attention(self.attention, 1, 2 * self.listener_size, self.attention_size, self.heads)

    def build(self, source_size: int, target_size: int) -> "ListenAttendSpell":
        model = JointListenAttendSpell if self.ctc_weight else ListenAttendSpell
        return model(self, source_size, target_size)


def chiu_2018() -> Config:
    """The later form: 5 BLSTMs of 1024 a direction on 3 frames as one, a speller of 2 x 1024, 4 additive heads.

    The paper stacks 4 frames every 3.
    """
    return Config(
        reductions=(3, 1, 1, 1, 1),
        listener_size=1024,
        speller_size=1024,
        attention="additive",
        heads=4,
        label_smoothing=0.1,
    )


class SpellerLayerState(NamedTuple):
    h: Tensor  # (N, speller_size)
    c: Tensor  # (N, speller_size)


class SpellerState(NamedTuple):
    layers: tuple[SpellerLayerState, ...]
    context: Tensor  # (N, 2 listener_size)


class ListenAttendSpell(RecurrentDecoder):
    reads = "frames"

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, heard = config, 2 * config.listener_size
        self.sampling = Sampling(rate=config.sampling_rate)
        self.reduction = math.prod(config.reductions)
        listener = Recurrent(hidden_size=config.listener_size, bidirectional=True)
        below = [source_size] + [heard] * (len(config.reductions) - 1)
        sizes = [size * steps for size, steps in zip(below, config.reductions, strict=True)]
        self.listener = nn.ModuleList(recurrent_layer(listener, size) for size in sizes)
        self.embedding = nn.Embedding(target_size, config.embedding_size)
        inputs = [config.embedding_size + heard] + [config.speller_size] * (config.speller_layers - 1)
        self.speller = nn.ModuleList(nn.LSTMCell(size, config.speller_size) for size in inputs)
        self.attention = Attention(config.attention, config.speller_size, heard, config.attention_size, config.heads)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = nn.Linear(config.speller_size + heard, config.speller_size)
        self.output = nn.Linear(config.speller_size, target_size)
        for value in self.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)
        self.discriminator = config.professor_forcing.discriminator(config.speller_size + heard)

    def listen(self, source: Padded) -> Padded:
        """Frames (B, T, D) to h (B, ceil(T / reduction), 2 listener_size)."""
        h = source
        for steps, layer in zip(self.config.reductions, self.listener, strict=True):
            h, _ = layer(concatenate_steps(h, steps), own_ends=False)
            h = Padded(self.dropout(h.data), h.lengths)
        return h

    def spelled(self, h: Padded, target: Padded) -> Loss:
        """The cross-entropy of a target (B, U) and EOS, from what was listened to."""
        return self.decode_loss(self.attention.prepare(h), target)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.embedding(tokens)

    def embed_all(self, tokens: Tensor) -> Sequence[Tensor]:
        """A step at a time: characters are few, and the sum of their gradients keeps the order that it always had."""
        return [self.embed(token) for token in tokens.unbind(1)]

    def parts(self, memory: Memory) -> AttendedMemory:
        return self.attention.parts(Padded(memory.data, memory.lengths))

    def write(self, e: Tensor, state: SpellerState, parts: AttendedMemory) -> tuple[Tensor, SpellerState, Tensor]:
        """E y_{i-1} (N, E) to [s_i, c_i] (N, F), the state after it, and alpha_i (N, T)."""
        x, layers = torch.cat((e, state.context), -1), []
        for cell, before in zip(self.speller, state.layers, strict=True):
            after = SpellerLayerState(*cell(x, tuple(before)))
            x = self.dropout(after.h)
            layers.append(after)
        context, weights = self.attention(x, parts)
        return torch.cat((x, context), -1), SpellerState(tuple(layers), context), weights

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.hidden(z).tanh())

    def encode(self, source: Padded | None) -> Padded:
        """Frames (B, T, D) to h with the keys of the attention beside it."""
        if source is None:
            raise ValueError("listen_attend_spell needs a source: audio frames (B, T, D)")
        return self.attention.prepare(self.listen(source))

    def start(self, memory: Memory | None, batch_size: int) -> SpellerState:
        assert memory is not None, "a speller attends to a memory"
        zero = memory.data.new_zeros(batch_size, self.config.speller_size)
        context = zero.new_zeros(batch_size, self.attention.context_size)
        return SpellerState(tuple(SpellerLayerState(zero, zero) for _ in self.speller), context)

    def limits(self, source: Padded) -> Tensor:
        """(B,) a token for each `FRAMES_A_TOKEN` frames: a hypothesis that never ends costs no more."""
        return (source.lengths + FRAMES_A_TOKEN - 1) // FRAMES_A_TOKEN


class JointListenAttendSpell(ListenAttendSpell):
    """With a CTC head on the listener."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__(config, source_size, target_size)
        self.ctc = nn.Linear(2 * config.listener_size, target_size)
        for value in self.ctc.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)

    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to CTC's log-probabilities (B, ceil(T / reduction), V)."""
        return self._emitted(self.listen(source))

    def _emitted(self, h: Padded) -> Padded:
        return Padded(self.ctc(h.data).log_softmax(-1), h.lengths)

    def loss(self, batch: Batch) -> Loss:
        """Its count is that of the characters and EOS."""
        h, weight = self.listen(batch.given), self.config.ctc_weight
        spelled, aligned = self.spelled(h, batch.target), ctc(self._emitted(h), batch.target)
        return Loss((1 - weight) * spelled.total + weight * aligned.total, spelled.count)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        h = self.listen(source)
        memory = self.attention.prepare(h)
        return attention_beam(self, memory, beam, lm, self._emitted(h), self.limits(source))
