"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000) and its variants.

I = sigma(W_i x + R_i h(t-1) + p_i * c(t-1) + b_i)
F = sigma(W_f x + R_f h(t-1) + p_f * c(t-1) + b_f)
n = tanh(W_n x + R_n h(t-1) + b_n)
c = F * c(t-1) + I * n
O = sigma(W_o x + R_o h(t-1) + p_o * c + b_o)
h = O * tanh(c)

Greff et al. 2017 (https://arxiv.org/abs/1503.04069), section V, one change at a time of the net with peepholes p:
    NIG, NFG, NOG: I, F, O = 1        NIAF, NOAF: n, h without tanh       NP: p = 0 (torch's, the default here)
    CIFG: F = 1 - I                   FGR: each gate also sees I(t-1), F(t-1), O(t-1) through a matrix
Layer normalized (Ba et al. 2016, https://arxiv.org/abs/1607.06450, equations 20 to 22): LN(W x) + LN(R h(t-1)) + b,
    and h = O * tanh(LN(c)); the biases inside the two LN of the sum are part of b here.
rnnDrop (Moon et al. 2015, https://doi.org/10.1109/ASRU.2015.7404775): c = m * (F * c(t-1) + I * n) with one mask m of
    zeros and ones a sequence. Here h of the kept cells is divided by their share, so that evaluation needs no scale.
Parameters are named and laid out as in nn.LSTMCell: rows of I, F, n, O, those that there are. With input_size 0 the
input comes driven: W x + b, in place of LN(W x) + b where that is normalized.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.cells.lstm_bptt import scan_lstm
from models.cells.step_loop import SteppedCell, scan_steps
from models.interface import State
from models.layers.weight_init import init_lecun, without


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the cell has. coupled: F = 1 - I. gate_recurrence: FGR. drop: rnnDrop's share of masked cells.

    forget_bias: what the biases of F add up to at first; None leaves them to the initialization.
    """

    input_gate: bool = True
    forget_gate: bool = True
    output_gate: bool = True
    input_activation: bool = True
    output_activation: bool = True
    peepholes: bool = False
    coupled: bool = False
    gate_recurrence: bool = False
    layer_norm: bool = False
    drop: float = 0.0
    forget_bias: float | None = None

    def __post_init__(self) -> None:
        if self.coupled and not (self.input_gate and self.forget_gate):
            raise ValueError("lstm.coupled ties the forget gate to the input gate: it needs both")
        if self.gate_recurrence and (self.gates != ("i", "f", "o")):
            raise ValueError("lstm.gate_recurrence needs an input, a forget and an output gate, not coupled")
        if self.forget_bias is not None and "f" not in self.gates:
            raise ValueError("lstm.forget_bias needs a forget gate of its own")
        if not 0 <= self.drop < 1:
            raise ValueError(f"lstm.drop is in [0, 1), not {self.drop}")

    @property
    def rows(self) -> tuple[str, ...]:
        """The blocks of the weight matrices, in torch's order."""
        there = {"i": self.input_gate, "f": self.forget_gate and not self.coupled, "n": True, "o": self.output_gate}
        return tuple(name for name in there if there[name])

    @property
    def gates(self) -> tuple[str, ...]:
        return tuple(name for name in self.rows if name != "n")

    @property
    def plain(self) -> bool:
        """Whether the equations are torch's, but for a layer normalization."""
        known = Config(layer_norm=self.layer_norm, forget_bias=self.forget_bias)
        return self == known


class LSTMState(NamedTuple):
    """gates: I, F, O of the step before where gates recur. mask: rnnDrop's, ones and zeros."""

    h: Tensor  # (B, H)
    c: Tensor  # (B, H)
    gates: Tensor | None = None  # (B, 3 H)
    mask: Tensor | None = None  # (B, H)


class LSTM(SteppedCell):
    def __init__(self, config: Config, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.config, self.driven = config, not input_size
        self.output_size, self.state_sizes = hidden_size, (hidden_size, hidden_size)
        rows, gates = len(config.rows) * hidden_size, len(config.gates)
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = None if config.layer_norm or self.driven else nn.Parameter(torch.empty(rows))
        self.peepholes = nn.Parameter(torch.empty(gates, hidden_size)) if config.peepholes else None
        self.weight_gg = nn.Parameter(torch.empty(3 * hidden_size, 3 * hidden_size)) if config.gate_recurrence else None
        if self.driven:
            without(self, "weight_ih", "bias_ih")
        init_lecun(self, hidden_size)
        set_forget_bias([bias for bias in (self.bias_ih, self.bias_hh) if bias is not None], config, hidden_size)
        if config.layer_norm:
            if not self.driven:
                self.norm_ih = nn.LayerNorm(rows, bias=False)
            self.norm_hh = nn.LayerNorm(rows, bias=False)
            self.norm_c = nn.LayerNorm(hidden_size)

    def begin(self, batch_size: int) -> LSTMState:
        config, zero = self.config, self.weight_hh.new_zeros(batch_size, self.output_size)
        mask = torch.ones_like(zero) if config.drop else None
        return self.redraw(LSTMState(zero, zero, zero.repeat(1, 3) if config.gate_recurrence else None, mask))

    def redraw(self, state: LSTMState) -> LSTMState:
        if state.mask is None or not self.training:
            return state
        return state._replace(mask=torch.empty_like(state.mask).bernoulli_(1 - self.config.drop))

    def drive(self, x: Tensor) -> Tensor:
        if self.driven:
            return x
        if self.bias_hh is None:
            norm = self.norm_ih  # with b as its bias: one pass over all steps less
            return F.layer_norm(F.linear(x, self.weight_ih), norm.normalized_shape, norm.weight, self.bias_ih, norm.eps)
        return F.linear(x, self.weight_ih, self.bias_ih + self.bias_hh)

    def step(self, driven: Tensor, state: LSTMState) -> LSTMState:
        config = self.config
        z = dict(zip(config.rows, self._sums(driven, state), strict=True))
        n = z["n"].tanh() if config.input_activation else z["n"]
        i = self._gate(z, "i", state.c)
        f = 1 - i if config.coupled and i is not None else self._gate(z, "f", state.c)
        c = (state.c if f is None else f * state.c) + (n if i is None else i * n)
        if state.mask is not None and self.training:
            c = state.mask * c
        o = self._gate(z, "o", c)
        shown = self.norm_c(c) if config.layer_norm else c
        h = shown.tanh() if config.output_activation else shown
        h = h if o is None else o * h
        if state.mask is not None and self.training:
            h = h / (1 - config.drop)
        gates = torch.cat((i, f, o), 1) if i is not None and f is not None and o is not None else None
        return LSTMState(h, c, gates if config.gate_recurrence else None, state.mask)

    def _sums(self, driven: Tensor, state: LSTMState) -> tuple[Tensor, ...]:
        """What each row's activation is applied to, but for the peepholes."""
        if self.config.layer_norm:
            sums = driven + self.norm_hh(F.linear(state.h, self.weight_hh))
        else:
            sums = torch.addmm(driven, state.h, self.weight_hh.t())
        z = sums.chunk(len(self.config.rows), 1)
        if state.gates is None or self.weight_gg is None:
            return z
        i, f, o = F.linear(state.gates, self.weight_gg).chunk(3, 1)
        return z[0] + i, z[1] + f, z[2], z[3] + o

    def _gate(self, z: dict[str, Tensor], name: str, c: Tensor) -> Tensor | None:
        """I, F or O; None where it is 1."""
        if name not in z:
            return None
        if self.peepholes is None:
            return z[name].sigmoid()
        return torch.addcmul(z[name], self.peepholes[self.config.gates.index(name)], c).sigmoid()

    def read(self, state: LSTMState) -> Tensor:
        return state.h

    def scan(self, driven: Tensor, state: LSTMState) -> State:
        if not self.config.plain:
            return scan_steps(self.step, driven, state)
        norms = (self.norm_hh.weight, self.norm_c.weight, self.norm_c.bias) if self.config.layer_norm else None
        return LSTMState(*scan_lstm(driven, self.weight_hh, norms, state.h, state.c))


def set_forget_bias(biases: Sequence[Tensor], config: Config, hidden_size: int) -> None:
    """Make the part of F in biases that are added up to `config.forget_bias`, if one is wished: all in the first."""
    if config.forget_bias is None:
        return
    place = slice(*(hidden_size * (config.rows.index("f") + k) for k in (0, 1)))
    for k, bias in enumerate(biases):
        bias.detach()[place] = 0.0 if k else config.forget_bias
