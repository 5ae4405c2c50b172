"""Bidirectional recurrent layers for sequences of different lengths, exact without packing.

The forward direction runs on the right-padded batch, where padding comes after all real steps; the backward
direction runs the same way on each sequence reversed within its own length. Both are blind to padding.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from models.interface import Padded
from models.layers.sequence_norm import SequenceNorm

CLIP = 20.0  # the paper's sigma(x) = min(max(x, 0), 20)

CellName = Literal["rnn", "shared_gru", "gru", "lstm"]
Merge = Literal["sum", "concat"]  # how the two directions become one vector: H or 2H features

FUSED: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


def bidirectional(cell: CellName, input_size: int, hidden_size: int, merge: Merge) -> nn.Module:
    """One layer (B, T, input_size) -> (B, T, merged_size(hidden_size, merge)), padding zero.

    Raises ValueError for a cell or merge that does not exist.
    """
    merged_size(hidden_size, merge)
    if cell in SHARED:
        return SHARED[cell](input_size, hidden_size, merge)
    if cell not in FUSED:
        raise ValueError(f"cell is one of {', '.join(get_args(CellName))}, not {cell!r}")
    return FusedBidirectional(FUSED[cell], input_size, hidden_size, merge)


def merged_size(hidden_size: int, merge: Merge) -> int:
    """Features of a layer's output."""
    if merge not in ("sum", "concat"):
        raise ValueError(f"merge is sum or concat, not {merge!r}")
    return hidden_size if merge == "sum" else 2 * hidden_size


class FusedBidirectional(nn.Module):
    """h = merge(cell(B(x)), reversed cell(B(x))), B the sequence-wise normalisation.

    The paper normalises the product W x; the library's fused cells hide it, so their input x is normalised.
    """

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM], input_size: int, hidden_size: int, merge: Merge) -> None:
        super().__init__()
        self.merge: Merge = merge
        self.norm = SequenceNorm(input_size)
        self.ahead = cell(input_size, hidden_size, batch_first=True)
        self.back = cell(input_size, hidden_size, batch_first=True)

    def forward(self, x: Padded) -> Padded:
        x = self.norm(x)
        order = reversal_order(x)
        ahead, _ = self.ahead(x.data)
        back, _ = self.back(permute_rows(x.data, order))
        return merge_directions(ahead, permute_rows(back, order), x, self.merge)


class PlainBidirectional(nn.Module):
    """Amodei et al. 2015, sections 3.1 and 3.2, one layer; both directions share the product W x.

    ->h_t = f(B(W x_t) + ->U ->h_{t-1})        f(z) = min(max(z, 0), 20)
    <-h_t = f(B(W x_t) + <-U <-h_{t+1})        B: sequence-wise normalisation, its beta is the bias
    h_t   = ->h_t + <-h_t
    """

    def __init__(self, input_size: int, hidden_size: int, merge: Merge) -> None:
        super().__init__()
        self.merge: Merge = merge
        self.product = nn.Linear(input_size, hidden_size, bias=False)
        self.norm = SequenceNorm(hidden_size)
        bound = hidden_size**-0.5  # spectral radius about 0.6: states neither die nor run into the clip
        self.recurrence = nn.Parameter(torch.empty(2, hidden_size, hidden_size).uniform_(-bound, bound))

    def forward(self, x: Padded) -> Padded:
        z = self.norm(Padded(self.product(x.data), x.lengths))
        order = reversal_order(x)
        both = torch.stack((z.data, permute_rows(z.data, order))).transpose(1, 2)  # (2, B, T, H) to (2, T, B, H)
        ahead, back = clipped_recurrence(both, self.recurrence.to(both.dtype)).transpose(1, 2)
        return merge_directions(ahead, permute_rows(back, order), x, self.merge)


class GatedBidirectional(nn.Module):
    """Amodei et al. 2015, section 3.2's GRU, one layer, both directions sharing W x as those of the plain layer do.

    r, z  = sigma(B(W x_t) + U h_{t-1})                 rows r and z
    n     = tanh(B(W x_t) + r * (U h_{t-1}))            rows n
    h_t   = (1 - z) n + z h_{t-1}                       torch's letters: z keeps, where the paper's z renews
    """

    def __init__(self, input_size: int, hidden_size: int, merge: Merge) -> None:
        super().__init__()
        self.merge: Merge = merge
        self.product = nn.Linear(input_size, 3 * hidden_size, bias=False)
        self.norm = SequenceNorm(3 * hidden_size)
        bound = hidden_size**-0.5
        self.recurrence = nn.Parameter(torch.empty(2, hidden_size, 3 * hidden_size).uniform_(-bound, bound))

    def forward(self, x: Padded) -> Padded:
        z = self.norm(Padded(self.product(x.data), x.lengths))
        order = reversal_order(x)
        both = torch.stack((z.data, permute_rows(z.data, order)), 2).transpose(0, 1)  # (T, B, 2, 3 H)
        ahead, back = gated_recurrence(both.transpose(1, 2), self.recurrence.to(both.dtype))
        return merge_directions(ahead, permute_rows(back, order), x, self.merge)


SHARED = {"rnn": PlainBidirectional, "shared_gru": GatedBidirectional}


def gated_recurrence(inputs: Tensor, recurrence: Tensor) -> Tensor:
    """The GRU's h_t of inputs (T, G, B, 3 H), rows r, z, n, and U (G, H, 3 H), h_{-1} = 0; returns (G, B, T, H)."""
    size = recurrence.shape[1]
    h, states = inputs.new_zeros(*inputs.shape[1:3], size), []
    for now in inputs.unbind(0):
        u = torch.bmm(h, recurrence)
        r, z = (now[..., : 2 * size] + u[..., : 2 * size]).sigmoid().chunk(2, -1)
        h = torch.lerp((now[..., 2 * size :] + r * u[..., 2 * size :]).tanh(), h, z)
        states.append(h)
    return torch.stack(states, 2) if states else inputs.new_zeros(*inputs.shape[1:3], 0, size)


def merge_directions(ahead: Tensor, back: Tensor, x: Padded, merge: Merge) -> Padded:
    """Both directions (B, T, H) as one, zero on the padding of x."""
    data = ahead + back if merge == "sum" else torch.cat((ahead, back), -1)
    return Padded(data * x.mask()[..., None], x.lengths)


def reversal_order(x: Padded) -> Tensor:
    """(B T,) the row that each row of x.data.flatten(0, 1) swaps places with: padding stays where it is."""
    batch, time = x.data.shape[:2]
    steps = torch.arange(time, device=x.data.device).expand(batch, time)
    mirrored = torch.where(x.mask(), x.lengths.to(steps.device)[:, None] - 1 - steps, steps)
    return (mirrored + time * torch.arange(batch, device=steps.device)[:, None]).flatten()


def permute_rows(x: Tensor, order: Tensor) -> Tensor:
    """(B, T, D) with the rows of its flattened batch and time in another `order`, which is its own inverse."""
    permuted: Tensor = _Permute.apply(x, order)  # pyright: ignore[reportAssignmentType]
    return permuted


class _Permute(torch.autograd.Function):
    """index_select whose gradient is an index_select too, instead of a slow index_add."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.flatten(0, 1).index_select(0, order).view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return permute_rows(grads[0], order), None


def clipped_recurrence(inputs: Tensor, recurrence: Tensor) -> Tensor:
    """h_t = min(max(inputs_t + h_{t-1} U, 0), 20) for G independent directions, h_{-1} = 0.

    inputs (G, T, B, H), recurrence U (G, H, H); returns (G, T, B, H).
    """
    states: Tensor = _ClippedRecurrence.apply(inputs, recurrence)  # pyright: ignore[reportAssignmentType]
    return states


class _ClippedRecurrence(torch.autograd.Function):
    """Back-propagation through time by hand: the gradient of U is one product over all steps, not T of them."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, recurrence: Tensor) -> Tensor:
        states = torch.empty_like(inputs, memory_format=torch.contiguous_format)
        if inputs.shape[1]:
            torch.clamp(inputs[:, 0], 0, CLIP, out=states[:, 0])
        for t in range(1, inputs.shape[1]):
            z = torch.baddbmm(inputs[:, t], states[:, t - 1], recurrence)
            torch.clamp(z, 0, CLIP, out=states[:, t])
        ctx.save_for_backward(states, recurrence)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        states, recurrence = ctx.saved_tensors
        slope = (states > 0) & (states < CLIP)
        deltas = grads[0] * slope  # dL/dz_t, completed from the last step down
        back = recurrence.transpose(1, 2).contiguous()
        for t in range(states.shape[1] - 2, -1, -1):
            deltas[:, t].addcmul_(torch.bmm(deltas[:, t + 1], back), slope[:, t])
        before, after = states[:, :-1].flatten(1, 2), deltas[:, 1:].flatten(1, 2)
        return deltas, before.transpose(1, 2) @ after
