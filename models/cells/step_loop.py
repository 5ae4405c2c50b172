"""A recurrence over all steps by the autograd graph of each: what every cell does that has nothing faster."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.interface import State
from models.search.state_pytree import tree_map


def scan_steps(step: Callable[[Tensor, State], State], driven: Tensor, state: State) -> State:
    """The states s_t = step(driven_t, s_{t-1}) of driven (T, B, G), stacked: leaves (T, B, ...)."""
    states = []
    for at in driven.unbind(0):  # one graph node for all steps, where indexing would have a full-size gradient each
        state = step(at, state)
        states.append(state)
    return tree_map(lambda *leaves: torch.stack(leaves), *states)


class SteppedCell(nn.Module):
    """A `Cell` that says what `begin`, `drive`, `step` and `read` do; the rest follows, where nothing is drawn."""

    drive: Callable[[Tensor], Tensor]
    step: Callable[[Tensor, State], State]
    read: Callable[[State], Tensor]

    def redraw(self, state: State) -> State:
        return state

    def scan(self, driven: Tensor, state: State) -> State:
        return scan_steps(self.step, driven, state)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        state = self.step(self.drive(x), state)
        return self.read(state), state
