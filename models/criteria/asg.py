"""Auto segmentation criterion (Collobert, Puhrsch, Synnaeve 2016, https://arxiv.org/abs/1609.03193, section 2.4).

s(pi) = sum_t f_{pi_t}(x_t) + g_{pi_{t-1}, pi_t}             a path's score: emissions and learned transitions
ASG(theta, T) = - logadd_{pi in G_asg(theta, T)} s(pi)  +  logadd_{pi in G_full(T)} s(pi)

G_asg holds the paths that read theta, G_full every path of T steps, so exp(-ASG) = p(theta | x), normalized over whole
paths. There is no blank: a path reads what is left when its equal neighbors are merged. A doubled token would
be lost, so a symbol stands for "the token before once more". The paper has two, for doubled and tripled letters, in the
dictionary. Here the symbol is id 0, which as BLANK no text uses, so every tokenizer will do, and runs of any length can
be written: each second token of a run is the symbol, "aaab" is a 0 a b. The symbol with nothing before it says nothing:
it is the silence before the first token, and with it alone an empty text can be read. Each path reads one text, and the
probabilities of all texts add up to 1.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.interface import Loss, Padded
from models.special_tokens import BLANK

REPEAT = BLANK


def asg(emissions: Padded, target: Padded, transitions: Tensor) -> Loss:
    """-log p(target | emissions), summed; computed in float64.

    emissions: scores (B, T, V); adding a number to all of a step changes nothing, so log-probabilities are as good.
    target: ids (B, U) without BLANK. transitions: (V, V) finite scores, of the symbol before (row) and the one after.
    The count is the number of target tokens. A target longer than its emissions adds nothing to total and gradient.
    """
    scores, g = _silenced(emissions), transitions.double()
    steps, ends = (n.to(scores.device) for n in (emissions.lengths, target.lengths))
    kept = (ends <= steps) & (steps > 0)  # of no step there is one path, which reads nothing
    count = target.lengths.sum()
    if not scores.shape[1]:
        return Loss((scores.sum() + g.sum() * 0).to(emissions.data.dtype), count)
    states = path_states(target.to(scores.device))
    local = scores.gather(2, states[:, None].expand(-1, scores.shape[1], -1)).transpose(0, 1)  # (T, B, S)
    before = F.pad(states, (1, -1), value=REPEAT)
    aligned: Tensor = _ForcedSum.apply(local, g[states, states], g[before, states], steps, ends)  # pyright: ignore[reportAssignmentType]
    every: Tensor = _FullSum.apply(scores.transpose(0, 1), g, steps)  # pyright: ignore[reportAssignmentType]
    total = (every - aligned).masked_fill(~kept, 0).sum()
    return Loss(total.to(emissions.data.dtype), count)


def mark_repeats(target: Padded) -> Tensor:
    """Token ids (B, U) as symbols (B, U), no two neighbors the same: each second token of a run is REPEAT."""
    tokens = target.data
    if not tokens.shape[1]:
        return tokens
    at = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = F.pad(tokens[:, 1:] != tokens[:, :-1], (1, 0), value=True)
    run = at - at.masked_fill(~begins, 0).cummax(1).values
    return tokens.masked_fill((run % 2 == 1) | ~target.mask(), REPEAT)


def path_states(target: Padded) -> Tensor:
    """(B, U + 1) the symbols a path of each target goes through in order; the first may be left out."""
    return F.pad(mark_repeats(target), (1, 0), value=REPEAT)


def read_path(path: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens that a path's symbols say, and the step at which each begins."""
    tokens: list[int] = []
    begins: list[int] = []
    last = REPEAT
    for t, symbol in enumerate(path):
        if symbol != last:
            tokens.append(tokens[-1] if symbol == REPEAT else symbol)
            begins.append(t)
        last = symbol
    return tuple(tokens), tuple(begins)


def path_occupancy(emissions: Padded, transitions: Tensor) -> tuple[Tensor, Tensor]:
    """log p(pi_t = v | x) (B, T, V) float64, over every path, and logadd of all paths' scores (B,)."""
    scores, g, steps = _silenced(emissions).transpose(0, 1), transitions.double(), emissions.lengths
    alpha, total = _full_forward(scores, g, steps.to(scores.device))
    beta = _full_backward(scores, g, steps.to(scores.device))
    return (alpha + beta - total[:, None]).transpose(0, 1), total


def _silenced(emissions: Padded) -> Tensor:
    """(B, T, V) float64, zero on the padding."""
    return emissions.data.double().masked_fill(~emissions.mask()[..., None], 0)


def _full_forward(scores: Tensor, g: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_t(v) (T, B, V): logadd of the scores of all that ends in v at t, of the last step beyond it; and of all."""
    alpha, last = torch.empty_like(scores, memory_format=torch.contiguous_format), scores[0]
    highest = g.max()
    weights = (g - highest).exp()
    for t, now in enumerate(scores):
        if t:
            top = last.amax(1, keepdim=True)
            new = ((last - top).exp() @ weights).log() + top + highest + now
            last = torch.where((t < steps)[:, None], new, last)
        alpha[t] = last
    return alpha, last.logsumexp(1)


def _full_backward(scores: Tensor, g: Tensor, steps: Tensor) -> Tensor:
    """beta_t(v) (T, B, V): logadd of the scores of all that can follow v at t, zero from the last step on."""
    beta = torch.zeros_like(scores, memory_format=torch.contiguous_format)
    highest = g.max()
    weights = (g - highest).exp().t().contiguous()
    for t in range(len(scores) - 2, -1, -1):
        after = scores[t + 1] + beta[t + 1]
        top = after.amax(1, keepdim=True)
        new = ((after - top).exp() @ weights).log() + top + highest
        beta[t] = torch.where((t + 1 < steps)[:, None], new, beta[t])
    return beta


class _FullSum(torch.autograd.Function):
    """logadd over every path (B,) of scores (T, B, V); its gradient is how often a path is where, on average."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, g: Tensor, steps: Tensor) -> Tensor:
        alpha, total = _full_forward(scores, g, steps)
        ctx.save_for_backward(scores, g, steps, alpha, total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        scores, g, steps, alpha, total = ctx.saved_tensors
        beta = _full_backward(scores, g, steps)
        at = torch.arange(len(scores), device=steps.device)[:, None]
        weight = grads[0] * (at < steps)
        visits = (alpha + beta - total[:, None]).exp() * weight[..., None]
        before, after, highest = alpha[:-1], scores[1:] + beta[1:], g.max()
        tops = before.amax(2), after.amax(2)
        weight = weight[1:] * (tops[0] + tops[1] + highest - total).exp()  # one product for all steps
        left = (before - tops[0][..., None]).exp() * weight[..., None]
        right = (after - tops[1][..., None]).exp()
        moves = left.flatten(0, 1).t() @ right.flatten(0, 1) * (g - highest).exp()
        return visits, moves, None


class _ForcedSum(torch.autograd.Function):
    """logadd over the paths (B,) through the states of each row in order, from state 0 or 1 to state `ends`.

    local: each state's scores (T, B, S). stay, move: (B, S) of staying in a state and of entering it from the one
    before. A row without a path sums to -inf and has no gradient.
    """

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        local, stay, move, steps, ends = given
        alpha, last = torch.empty_like(local), local[0].clone()
        last[:, 2:] = -torch.inf
        for t, now in enumerate(local):
            if t:
                entered = F.pad(last[:, :-1], (1, 0), value=-torch.inf) + move
                last = torch.where((t < steps)[:, None], torch.logaddexp(last + stay, entered) + now, last)
            alpha[t] = last
        total = last.gather(1, ends[:, None]).squeeze(1)
        ctx.save_for_backward(*given, alpha, total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        local, stay, move, steps, ends, alpha, total = ctx.saved_tensors
        beta = torch.full_like(local, -torch.inf).scatter(2, ends[:, None].expand(len(local), -1, 1), 0)
        after = torch.empty_like(local[1:])  # of the states at t + 1, with what follows
        for t in range(len(local) - 2, -1, -1):
            after[t] = local[t + 1] + beta[t + 1]
            entered = F.pad((after[t] + move)[:, 1:], (0, 1), value=-torch.inf)
            beta[t] = torch.where((t + 1 < steps)[:, None], torch.logaddexp(after[t] + stay, entered), beta[t])
        total = total.masked_fill(total == -torch.inf, torch.inf)[:, None]
        weight = (grads[0] * (torch.arange(len(local), device=steps.device)[:, None] < steps))[..., None]
        visits = (alpha + beta - total).exp() * weight
        stays = (alpha[:-1] + stay + after - total).exp() * weight[1:]
        entries = (F.pad(alpha[:-1, :, :-1], (1, 0), value=-torch.inf) + move + after - total).exp() * weight[1:]
        return visits, stays.sum(0), entries.sum(0), None, None
