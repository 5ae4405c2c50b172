"""The transducer's loss (Graves 2012, https://arxiv.org/abs/1211.3711, section 2.4), in bounded memory.

h_tu = tanh(f_t + g_u),  Pr(k | t, u) = softmax_k(W h_tu + b)                    f_t of the frames, g_u of the prefixes
alpha(t, u) = alpha(t-1, u) Pr(blank | t-1, u) + alpha(t, u-1) Pr(y_u | t, u-1)                 equation 16
beta(t, u)  = beta(t+1, u) Pr(blank | t, u) + beta(t, u+1) Pr(y_{u+1} | t, u)                   equation 18
L = -log p(y | x) = -log beta(0, 0)

With omega(t, u, k), the probability given x and y that an alignment leaves cell (t, u) by emitting k,

dL / dz_tuk = Pr(k | t, u) sum_j omega(t, u, j) - omega(t, u, k),                z the logits

so the logits are made twice, each time a block of them after the other: (B, T, U + 1, V) is never there as a whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.interface import Loss, Padded
from models.special_tokens import BLANK

LOGITS = {"cpu": 1 << 18, "cuda": 1 << 24}  # of a block: a CPU's cache holds them
STEEP = 20.0  # tanh is 1 long before, and e^4x is finite

Sizes = tuple[tuple[int, int], ...]  # T and U of each utterance


class Lattice(NamedTuple):
    """Of each cell (B, T, U + 1) its log-probabilities, -inf where a cell or an edge is not the utterance's."""

    blank: Tensor
    label: Tensor  # of the next token of the target


class BlockPlan(NamedTuple):
    labels: Tensor  # (B, U), BLANK on the padding
    sizes: Sizes
    logits: int


class Joint(NamedTuple):
    f: Tensor  # (B, T, J)
    g: Tensor  # (B, U + 1, J)
    weight: Tensor  # (V, J)
    bias: Tensor  # (V,)


class Block(NamedTuple):
    """Neighboring cells of one utterance: frames and prefixes [begin, end)."""

    row: int
    t: slice
    u: slice

    @property
    def place(self) -> tuple[int, slice, slice]:
        """In a tensor (B, T, U + 1)."""
        return self.row, self.t, self.u

    @property
    def cells(self) -> int:
        return (self.t.stop - self.t.start) * (self.u.stop - self.u.start)


class Workspace(NamedTuple):
    """Of one block (cells, J or V), used again for the next."""

    h: Tensor
    dh: Tensor
    z: Tensor
    log_p: Tensor

    @classmethod
    def of(cls, joint: Joint, logits: int) -> "Workspace":
        cells = max(joint.g.shape[1], logits // len(joint.bias))
        sizes = (joint.f.shape[2],) * 2 + (len(joint.bias),) * 2
        return cls(*(joint.f.new_empty(cells, size) for size in sizes))


class JointHidden(NamedTuple):
    """h = tanh(f + g) = 1 - 2 / (1 + e^2f e^2g), where nothing overflows: without an exponential for each cell."""

    f: Tensor  # f, or e^2f
    g: Tensor
    factors: bool

    @classmethod
    def of(cls, f: Tensor, g: Tensor) -> "JointHidden":
        factors = all(x.numel() > 0 and bool(x.abs().max() < STEEP) for x in (f, g))
        return cls((2 * f).exp_(), (2 * g).exp_(), factors) if factors else cls(f, g, factors)

    def at(self, block: Block, room: Tensor) -> Tensor:
        """(t, u, J)"""
        f, g = self.f[block.row, block.t, None], self.g[block.row, None, block.u]
        h = room[: block.cells].view(f.shape[0], g.shape[1], -1)
        if self.factors:
            return torch.mul(f, g, out=h).add_(1).reciprocal_().mul_(-2).add_(1)
        return torch.add(f, g, out=h).tanh_()


def transducer(frames: Padded, prefixes: Tensor, output: nn.Linear, target: Padded, logits: int | None = None) -> Loss:
    """-log of the summed probability of every alignment of the target.

    frames: f (B, T, J). prefixes: g (B, U + 1, J), of the empty prefix, of y_1, and so on. output: W and b, J to V.
    target: ids (B, U) without blanks. logits: how many are in memory at once, at least those of one frame.
    The count is the number of target tokens. Any target fits any source but an empty one: that adds nothing.
    Raises ValueError for shapes that do not fit together.
    """
    batch, _, size = frames.data.shape
    if prefixes.shape != (batch, target.data.shape[1] + 1, size) or output.in_features != size:
        told = ", ".join(str(tuple(x.shape)) for x in (frames.data, prefixes, target.data, output.weight))
        raise ValueError(f"prefixes are one more than tokens, and of the frames' size: {told}")
    device = frames.data.device
    logits = logits or LOGITS.get(device.type, LOGITS["cuda"])
    labels = torch.where(target.mask(), target.data, BLANK).to(device)
    sizes = tuple(zip(frames.lengths.tolist(), target.lengths.tolist(), strict=True))
    bias = output.bias if output.bias is not None else output.weight.new_zeros(output.out_features)
    data = frames.data if frames.data.shape[1] else frames.data.new_zeros(batch, 1, size)
    given = [x.float() if x.itemsize < 4 else x for x in (data, prefixes, output.weight, bias)]
    with torch.autocast(device.type, enabled=False):
        total: Tensor = _Transducer.apply(*given, BlockPlan(labels, sizes, logits))  # pyright: ignore[reportAssignmentType]
    return Loss(total, target.lengths.sum())


class _Transducer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Tensor, g: Tensor, weight: Tensor, bias: Tensor, plan: BlockPlan) -> Tensor:
        joint = Joint(f, g, weight, bias)
        lattice, norms = log_probs(joint, plan)
        total, blank, label = lattice_occupancy(lattice, plan.sizes)
        ctx.save_for_backward(*joint, norms, blank, label)
        ctx.plan = plan
        return total.to(f.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        f, g, weight, bias, *cells = ctx.saved_tensors
        found = lattice_gradients(Joint(f, g, weight, bias), cells, ctx.plan)
        return *(x.mul_(grads[0]) for x in found), None


def log_probs(joint: Joint, plan: BlockPlan) -> tuple[Lattice, Tensor]:
    """The lattice, and of each cell the logarithm of what its softmax divides by (B, T, U + 1)."""
    f, g, weight, bias = joint
    shape = (len(f), f.shape[1], g.shape[1])
    lattice = Lattice(*(f.new_full(shape, -torch.inf) for _ in range(2)))
    norms, room, hidden = f.new_zeros(shape), Workspace.of(joint, plan.logits), JointHidden.of(f, g)
    weight = weight.t().contiguous()
    for block in blocks(plan, len(bias)):
        row, t, u = block
        h = hidden.at(block, room.h)
        z = torch.addmm(bias, h.flatten(0, 1), weight, out=room.z[: block.cells])
        log_p = torch.log_softmax(z, 1, out=room.log_p[: block.cells]).view(*h.shape[:2], -1)
        lattice.blank[block.place] = log_p[..., BLANK]
        norms[block.place] = z.view_as(log_p)[..., BLANK] - log_p[..., BLANK]
        tokens = u.stop - 1
        wanted = plan.labels[row, :tokens].expand(len(h), -1)[..., None]
        lattice.label[row, t, :tokens] = log_p[:, :tokens].gather(2, wanted).squeeze(2)
    return lattice, norms


def lattice_gradients(joint: Joint, cells: Sequence[Tensor], plan: BlockPlan) -> tuple[Tensor, ...]:
    """Of f, g, W and b. cells: the norms, and omega of blank and of the next token."""
    f, g, weight, bias = joint
    norms, blank, label = cells
    df, dg, dw, db = (torch.zeros_like(x) for x in joint)
    room, hidden = Workspace.of(joint, plan.logits), JointHidden.of(f, g)
    transposed, passed = weight.t().contiguous(), blank + label
    for block in occupied_blocks(plan, passed, bias):
        row, t, u = block
        h = hidden.at(block, room.h)
        z = torch.addmm(bias, h.flatten(0, 1), transposed, out=room.z[: block.cells])
        z.sub_(norms[block.place].reshape(-1, 1)).exp_().mul_(passed[block.place].reshape(-1, 1))
        z[:, BLANK] -= blank[block.place].flatten()
        last = min(u.stop, plan.labels.shape[1])
        wanted = plan.labels[row, u.start : last].expand(len(h), -1)[..., None]
        edges = z.view(*h.shape[:2], -1)[:, : last - u.start]
        edges.scatter_add_(2, wanted, -label[row, t, u.start : last, None])
        dw.addmm_(z.t(), h.flatten(0, 1))
        db += z.sum(0)
        dh = torch.mm(z, weight, out=room.dh[: block.cells]).view_as(h)
        dh = torch.ops.aten.tanh_backward(dh, h)
        df[row, t] += dh.sum(1)
        dg[row, u] += dh.sum(0)
    return df, dg, dw, db


def blocks(plan: BlockPlan, outputs: int) -> Iterator[Block]:
    """All cells, a few frames of an utterance at a time."""
    for row, (time, tokens) in enumerate(plan.sizes):
        height = max(1, plan.logits // outputs // (tokens + 1))
        for t in range(0, time, height):
            yield Block(row, slice(t, min(t + height, time)), slice(0, tokens + 1))


def occupied_blocks(plan: BlockPlan, passed: Tensor, bias: Tensor) -> Iterator[Block]:
    """The blocks without the cells that no alignment passes. That changes no gradient beyond its rounding.

    passed: (B, T, U + 1), the probability that an alignment of the target passes a cell; it passes T + U of them. A
    cell is left out when that is below the last digit of the gradient's numbers, shared out over so many: then all
    those left out of a sum weigh less than that digit.
    """
    passed, columns, least = passed.cpu(), torch.arange(passed.shape[2]), torch.finfo(bias.dtype).eps
    for block in blocks(plan, len(bias)):
        there = (passed[block.place] > least / (sum(plan.sizes[block.row]) + 1)).any(0)
        seen = columns[block.u][there]
        if len(seen):
            yield block._replace(u=slice(int(seen[0]), int(seen[-1]) + 1))


def lattice_occupancy(lattice: Lattice, sizes: tuple[tuple[int, int], ...]) -> tuple[Tensor, Tensor, Tensor]:
    """L summed, and omega of blank and of the next token in each cell (B, T, U + 1).

    All cells with the same t + u, a diagonal, come from the diagonal before; double precision.
    """
    blank, label = (to_diagonals(x.double()) for x in lattice)  # (T + U, B, U + 1)
    diagonals, batch, width = blank.shape
    ends = blank.new_full((diagonals + 1, batch, width), -torch.inf)
    time, tokens = torch.tensor(sizes, dtype=torch.long, device=blank.device).view(-1, 2).unbind(1)
    rows = torch.arange(batch, device=blank.device)
    ends[time + tokens, rows, tokens] = 0
    betas, beta = [ends[-1]], ends[-1]
    for d in range(diagonals - 1, -1, -1):
        beta = torch.logaddexp(blank[d] + beta, label[d] + shift_up(beta))
        betas.append(torch.maximum(beta, ends[d]))
        beta = betas[-1]
    after = torch.stack(betas[::-1])
    alphas = [torch.full_like(beta, -torch.inf)]
    alphas[0][:, 0] = 0
    for d in range(diagonals - 1):
        alphas.append(torch.logaddexp(alphas[-1] + blank[d], shift_down(alphas[-1] + label[d])))
    evidence = torch.where(time > 0, after[0, :, 0], 0.0)  # log p(y | x)
    alpha = torch.stack(alphas) - evidence[:, None]
    omega = (alpha + blank + after[1:], alpha + label + shift_up(after[1:]))
    found = [from_diagonals(x.exp().to(lattice.blank.dtype), lattice.blank.shape[1]) for x in omega]
    return -evidence.sum(), found[0], found[1]


def shift_up(x: Tensor) -> Tensor:
    """In the place of prefix u what x has of u + 1."""
    return torch.cat((x[..., 1:], torch.full_like(x[..., :1], -torch.inf)), -1)


def shift_down(x: Tensor) -> Tensor:
    """In the place of prefix u what x has of u - 1."""
    return torch.cat((torch.full_like(x[..., :1], -torch.inf), x[..., :-1]), -1)


def to_diagonals(x: Tensor) -> Tensor:
    """(B, T, U + 1) by diagonals: (T + U, B, U + 1), -inf where a diagonal has left the lattice."""
    batch, time, width = x.shape
    t = torch.arange(time + width - 1, device=x.device)[:, None] - torch.arange(width, device=x.device)
    inside = (t >= 0) & (t < time)
    found = x.gather(1, t.clamp(0, time - 1).expand(batch, -1, -1)).masked_fill(~inside, -torch.inf)
    return found.transpose(0, 1).contiguous()


def from_diagonals(x: Tensor, time: int) -> Tensor:
    """The inverse of `to_diagonals`."""
    width = x.shape[2]
    d = torch.arange(time, device=x.device)[:, None] + torch.arange(width, device=x.device)
    return x.transpose(0, 1).gather(1, d.expand(x.shape[1], -1, -1))
