"""ZoneOut (Krueger et al. 2017, https://arxiv.org/abs/1606.01305) around any cell: some units keep their last state.

s(t) = d * s(t-1) + (1 - d) * s~(t),    d ~ Bernoulli(rate) for each unit and step,    s~ the cell's own next state

At evaluation d is its expectation, the rate. For an LSTM, h~ is computed from the c~ before zoning (equations 4, 5).
"""

import torch
from torch import Tensor

from models.cells.interpolate import interpolate
from models.cells.step_loop import SteppedCell
from models.interface import Cell, State


class ZoneOut(SteppedCell):
    """rates: of the first leaves of the cell's state, in [0, 1]; (h,) or (h, c). Raises ValueError for others."""

    def __init__(self, cell: Cell, rates: tuple[float, ...]) -> None:
        super().__init__()
        if len(rates) > len(cell.state_sizes) or not all(0 <= rate <= 1 for rate in rates):
            raise ValueError(f"zoneout has {len(cell.state_sizes)} rates at most here, in [0, 1], not {rates}")
        self.cell, self.rates = cell, rates
        self.output_size, self.state_sizes = cell.output_size, cell.state_sizes

    def begin(self, batch_size: int) -> State:
        return self.cell.begin(batch_size)

    def redraw(self, state: State) -> State:
        return self.cell.redraw(state)

    def drive(self, x: Tensor) -> Tensor:
        return self.cell.drive(x)

    def step(self, driven: Tensor, state: State) -> State:
        proposed = self.cell.step(driven, state)
        zoned = (self._mix(*leaves) for leaves in zip(state, proposed, self.rates, strict=False))
        return type(proposed)(*zoned, *proposed[len(self.rates) :])

    def _mix(self, before: Tensor, after: Tensor, rate: float) -> Tensor:
        if not self.training:
            return interpolate(after, before, rate)
        return torch.where(torch.rand_like(after) < rate, before, after)

    def read(self, state: State) -> Tensor:
        return self.cell.read(state)
