"""One recurrent layer over whole sequences: one direction or both, by the cell's own scan or by torch's fused kernels.

Every layer here maps (x (B, T, D), state) to (y (B, T, H), state). Padding is on the right, so a direction's real steps
never see it; the backward direction starts at each sequence's own end; and the state that comes out is that at each
sequence's own end, for rows of any length. Outputs on padding are zero.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from models.cells.elman_jordan import RNNState
from models.cells.lstm import LSTMState
from models.interface import Cell, Padded, State
from models.layers.reverse_padded import permute_rows, reversal_order
from models.layers.sequence_norm import SequenceNorm
from models.layers.weight_init import init_lecun
from models.search.state_pytree import tree_map

Merge = Literal["concat", "sum"]  # how the two directions become one vector: 2H or H features


class Unroll(nn.Module):
    """Any cell, one direction. learn_start: the first state's leading leaves are parameters instead of zeros."""

    def __init__(self, cell: Cell, *, learn_start: bool = False) -> None:
        super().__init__()
        self.cell, self.output_size = cell, cell.output_size
        self.start = learned_initial_state(cell.state_sizes) if learn_start else None

    def begin(self, batch_size: int) -> State:
        return initial_state(self.cell.begin(batch_size), self.start)

    def forward(self, x: Padded, state: State | None = None, *, own_ends: bool = True) -> tuple[Padded, State]:
        """own_ends: whether the state at each row's own end is wanted, rather than that after all T steps."""
        batch, time = x.data.shape[:2]
        state = self.begin(batch) if state is None else self.cell.redraw(state)
        if not time:
            return Padded(x.data.new_zeros(batch, 0, self.output_size), x.lengths), state
        states = self.cell.scan(self.cell.drive(x.data.transpose(0, 1)), state)
        return self.read(x, states, state, own_ends=own_ends)

    def read(self, x: Padded, states: State, state: State, *, own_ends: bool) -> tuple[Padded, State]:
        """Of the states after each step of x, leaves (T, B, ...), and the one before: what `forward` returns."""
        y = self.cell.read(states).transpose(0, 1)
        if is_unpadded(x):
            return Padded(y, x.lengths), tree_map(lambda leaf: leaf[-1], states)
        y = Padded(y.masked_fill(~x.mask()[..., None], 0), x.lengths)
        if not own_ends:
            return y, tree_map(lambda leaf: leaf[-1], states)
        lengths, rows = x.lengths.to(y.data.device), torch.arange(len(x.lengths), device=y.data.device)
        ends = tree_map(lambda leaf: leaf[(lengths - 1).clamp(min=0), rows], states)
        return y, keep_empty_rows(lengths, state, ends)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D), one step."""
        return self.cell(x, state)


KERNELS: dict[type[nn.RNNBase], Callable[..., Any]] = {nn.LSTM: torch.lstm_cell, nn.GRU: torch.gru_cell}
ELMAN: dict[str, Callable[..., Any]] = {"tanh": torch.rnn_tanh_cell, "relu": torch.rnn_relu_cell}


class Fused(nn.Module):
    """One layer of torch's kernel for the plain Elman, GRU or LSTM: `kernel` is batch first, one layer, one direction.

    For rows of several lengths, states at their own ends cost torch's packing, about three times the time on a CPU.
    """

    def __init__(self, kernel: nn.RNNBase, *, learn_start: bool = False) -> None:
        super().__init__()
        self.kernel, self.output_size = kernel, kernel.proj_size or kernel.hidden_size
        self.remembers = kernel.mode == "LSTM"
        self.cell = KERNELS.get(type(kernel)) or ELMAN[kernel.nonlinearity]  # pyright: ignore[reportArgumentType]
        self.sizes = (self.output_size, kernel.hidden_size)[: 2 if self.remembers else 1]  # of h and c
        self.start = learned_initial_state(self.sizes) if learn_start else None

    def begin(self, batch_size: int) -> State:
        zeros = [next(self.kernel.parameters()).new_zeros(batch_size, size) for size in self.sizes]
        return initial_state(LSTMState(*zeros) if self.remembers else RNNState(*zeros), self.start)

    def forward(self, x: Padded, state: State | None = None, *, own_ends: bool = True) -> tuple[Padded, State]:
        """own_ends: whether the state at each row's own end is wanted, rather than that after all T steps."""
        state = self.begin(len(x.lengths)) if state is None else state
        if not x.data.shape[1]:
            return Padded(x.data.new_zeros(*x.data.shape[:2], self.output_size), x.lengths), state
        if is_unpadded(x):
            y, after = self._run(x.data, state)
            return Padded(y, x.lengths), self._taken(after)
        if not own_ends:
            y, after = self._run(x.data, state)
            return Padded(y.masked_fill(~x.mask()[..., None], 0), x.lengths), self._taken(after)
        steps = x.lengths.clamp(min=1)  # torch packs no empty row; it keeps its state below
        packed = nn.utils.rnn.pack_padded_sequence(x.data, steps.cpu(), batch_first=True, enforce_sorted=False)
        y, after = self._run(packed, state)
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.data.shape[1])
        y = y.masked_fill(~x.mask()[..., None], 0)
        return Padded(y, x.lengths), keep_empty_rows(x.lengths.to(y.device), state, self._taken(after))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D), one step."""
        kernel = self.kernel
        if kernel.proj_size:  # torch's cell knows none
            y, after = self._run(x[:, None], state)
            return y[:, 0], self._taken(after)
        weights = (kernel.weight_ih_l0, kernel.weight_hh_l0, kernel.bias_ih_l0, kernel.bias_hh_l0)
        after = self.cell(x, tuple(state[:2]) if self.remembers else state.h, *weights)
        state = LSTMState(*after) if self.remembers else RNNState(after)
        return state.h, state

    def _run(self, x: Any, state: State) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
            return self.kernel(x, self._given(state))

    def _given(self, state: State) -> Any:
        """As torch wants it: (1, B, H), a pair for the LSTM."""
        if self.remembers:
            return state.h[None].contiguous(), state.c[None].contiguous()
        return state.h[None].contiguous()

    def _taken(self, state: Any) -> State:
        return LSTMState(state[0][0], state[1][0]) if self.remembers else RNNState(state[0])


class InputProduct(nn.Module):
    """W x + b of cells whose input comes driven, or B(W x), B the sequence-wise normalization, whose beta is the bias.

    Amodei et al. 2015, section 3.2. (B, T, D) to (B, T, size), H the hidden size of the cells.
    """

    def __init__(self, input_size: int, size: int, hidden_size: int, *, normalize: bool) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(size, input_size))
        self.bias_ih = None if normalize else nn.Parameter(torch.empty(size))
        init_lecun(self, hidden_size)
        self.norm = SequenceNorm(size) if normalize else None

    @property
    def bias(self) -> Tensor:
        return self.norm.norm.bias if self.norm is not None else self.bias_ih  # pyright: ignore[reportReturnType]

    def forward(self, x: Padded) -> Padded:
        y = Padded(nn.functional.linear(x.data, self.weight_ih, self.bias_ih), x.lengths)
        return y if self.norm is None else self.norm(y)


class InputTransform(nn.Module):
    """A layer that reads its input through a normalization or a product."""

    def __init__(self, transform: SequenceNorm | InputProduct, layer: "Layer") -> None:
        super().__init__()
        self.transform, self.layer, self.output_size = transform, layer, layer.output_size

    def begin(self, batch_size: int) -> State:
        return self.layer.begin(batch_size)

    def forward(self, x: Padded, state: State | None = None, *, own_ends: bool = True) -> tuple[Padded, State]:
        return self.layer(self.transform(x), state, own_ends=own_ends)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """x (B, D), one step."""
        one = Padded(x[:, None], torch.ones(len(x), dtype=torch.long))
        return cast("Unroll | Fused", self.layer).step(self.transform(one).data[:, 0], state)


class JointScan(Protocol):
    """The scan of two cells in one loop, half as many calls: driven (2, T, B, G), W_h (2, G, H), h_0 (2, B, H) to h."""

    def __call__(self, driven: Tensor, weight: Tensor, h: Tensor) -> Tensor: ...


class Bidirectional(nn.Module):
    """Schuster & Paliwal 1997: y(t) = [->h(t), <-h(t)] of two layers, the second on each sequence reversed.

    merge: or their sum (Amodei et al. 2015, section 3.1). scan: of both directions, where they have such a one.
    """

    def __init__(
        self, ahead: "Layer", back: "Layer", *, merge: Merge = "concat", scan: JointScan | None = None
    ) -> None:
        super().__init__()
        self.ahead, self.back, self.merge, self.scan = ahead, back, merge, scan
        self.output_size = ahead.output_size * (2 if merge == "concat" else 1)

    def begin(self, batch_size: int) -> State:
        return self.ahead.begin(batch_size), self.back.begin(batch_size)

    def forward(self, x: Padded, state: State | None = None, *, own_ends: bool = True) -> tuple[Padded, State]:
        """The state of the backward direction begins at each row's end and comes out at its first step."""
        before = self.begin(len(x.lengths)) if state is None else state
        order = reversal_order(x)
        turned = Padded(permute_rows(x.data, order), x.lengths)
        if self.scan is not None and x.data.shape[1]:
            (ahead, after), (back, first) = self._scan_jointly(self.scan, (x, turned), before, own_ends=own_ends)
        else:
            ahead, after = self.ahead(x, before[0], own_ends=own_ends)
            back, first = self.back(turned, before[1], own_ends=own_ends)
        parts = ahead.data, permute_rows(back.data, order)
        y = torch.cat(parts, -1) if self.merge == "concat" else parts[0] + parts[1]
        return Padded(y, x.lengths), (after, first)

    def _scan_jointly(
        self, scan: JointScan, inputs: tuple[Padded, Padded], before: State, *, own_ends: bool
    ) -> list[tuple[Padded, State]]:
        layers = cast("tuple[Unroll, Unroll]", (self.ahead, self.back))
        cells = cast("list[Any]", [layer.cell for layer in layers])
        driven = torch.stack([cell.drive(x.data) for cell, x in zip(cells, inputs, strict=True)]).transpose(1, 2)
        weights, h = torch.stack([cell.weight_hh for cell in cells]), torch.stack([state.h for state in before])
        states = map(RNNState, scan(driven, weights, h).unbind(0))
        told = zip(layers, inputs, states, before, strict=True)
        return [layer.read(x, after, state, own_ends=own_ends) for layer, x, after, state in told]


Layer = Unroll | Fused | Bidirectional | InputTransform


def concatenate_steps(x: Padded, steps: int) -> Padded:
    """Chan et al. 2015's pyramid: (B, T, D) to (B, ceil(T / steps), steps D), each `steps` neighbors as one vector.

    The last vector of a sequence is filled up with zeros.
    """
    batch, time, features = x.data.shape
    clean = x.data.masked_fill(~x.mask()[..., None], 0)
    filled = nn.functional.pad(clean, (0, 0, 0, -time % steps))
    joined = filled.reshape(batch, filled.shape[1] // steps, steps * features)  # sizes in full: a batch may be empty
    return Padded(joined, (x.lengths + steps - 1) // steps)


def is_unpadded(x: Padded) -> bool:
    """Whether no row is padded."""
    return bool((x.lengths == x.data.shape[1]).all())


def learned_initial_state(sizes: tuple[int, ...]) -> nn.ParameterList:
    return nn.ParameterList(torch.zeros(1, size) for size in sizes)


def initial_state(state: State, start: nn.ParameterList | None) -> State:
    """A cell's first state (B, ...) with its leading leaves replaced by the learned ones."""
    if start is None:
        return state
    learned = [value.expand(len(state[0]), -1) for value in start]
    return type(state)(*learned, *state[len(learned) :])


def keep_empty_rows(lengths: Tensor, before: State, after: State) -> State:
    """The state after a batch, where a row without any step keeps the one it had."""

    def choose(old: Tensor, new: Tensor) -> Tensor:
        moved = (lengths > 0).view(-1, *[1] * (new.dim() - 1))
        return torch.where(moved, new, old)

    return tree_map(choose, before, after)
