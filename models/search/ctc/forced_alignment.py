"""Viterbi alignment for CTC: which output steps carry which token of a known sequence, and how surely.

Graves et al. 2006, section 4.1, with the maximum in place of the sum. The states of y are blank, y_1, blank,
y_2, ..., y_U, blank; a step stays, moves to the next state, or skips a blank between two different tokens.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.interface import Padded
from models.special_tokens import BLANK


class Alignment(NamedTuple):
    """The best path of one target.

    score: its log-probability, -inf when no path exists. spans: each token's output steps [first, last).
    confidence: geometric mean over the tokens of each one's highest probability on its span (CTC tokens
    are peaks, so the edges of a span would say little); nan without tokens or without a path.
    """

    score: float
    spans: tuple[tuple[int, int], ...]
    confidence: float


@torch.no_grad()
def ctc_alignment(emissions: Padded, target: Padded) -> list[Alignment]:
    """The best path of each target, in time O(T U) and all targets at once.

    emissions: log-probabilities (B, T, V). target: ids (B k, U), k consecutive rows for each emission row.
    Raises ValueError when the rows do not divide evenly.
    """
    batch, rows = len(emissions.lengths), len(target.lengths)
    if rows % max(batch, 1):
        raise ValueError(f"{rows} targets cannot be shared out over {batch} emission rows")
    if not rows:
        return []
    target = target.to(emissions.data.device)
    labels = torch.where(target.mask(), target.data, BLANK)
    states = labels.new_full((rows, 2 * labels.shape[1] + 1), BLANK)
    states[:, 1::2] = labels  # (N, S)
    local = _state_scores(emissions.data, states)
    steps = emissions.lengths.to(labels.device).repeat_interleave(rows // batch)
    path, scores = _best_paths(local, states, steps, target.lengths)
    found = local.gather(2, path[..., None]).squeeze(2)  # (N, T)
    columns = (path.cpu(), found.cpu(), steps.tolist(), target.lengths.tolist(), scores.tolist())
    return [_read(*row) for row in zip(*columns, strict=True)]


def _state_scores(log_probs: Tensor, states: Tensor) -> Tensor:
    """(B, T, V) and states (B k, S) to each state's log-probabilities (B k, T, S)."""
    (batch, time, _), (rows, size) = log_probs.shape, states.shape
    grouped = states.view(batch, 1, rows // batch * size).expand(-1, time, -1)
    local = log_probs.double().gather(2, grouped).view(batch, time, rows // batch, size)
    return local.transpose(1, 2).reshape(rows, time, size)


def _best_paths(local: Tensor, states: Tensor, steps: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The best state (N, T) at each step, 0 on padding, and the path's log-probability (N,)."""
    rows, time, size = local.shape
    skips = torch.zeros_like(states, dtype=torch.bool)
    skips[:, 2:] = (states[:, 2:] != BLANK) & (states[:, 2:] != states[:, :-2])
    best = local.new_full((rows, size), -torch.inf)
    best[:, 0] = 0  # before the first step: state 0, from which state 1 can also be entered
    moves = torch.zeros((rows, time, size), dtype=torch.int8, device=states.device)
    for t in range(time):
        one = F.pad(best, (1, 0), value=-torch.inf)[:, :size]
        two = F.pad(best, (2, 0), value=-torch.inf)[:, :size].masked_fill(~skips, -torch.inf)
        entered = torch.maximum(best, one)
        moves[:, t] = torch.where(two > entered, 2, (one > best).to(torch.int8))
        best = torch.where((t < steps)[:, None], torch.maximum(entered, two) + local[:, t], best)
    last = 2 * tokens[:, None]  # the blank after the last token, or that token
    ends = torch.cat((last, (last - 1).clamp(min=0)), 1)
    scores, choice = best.gather(1, ends).max(1)
    state = ends.gather(1, choice[:, None])
    path = states.new_zeros(rows, time)
    for t in range(time - 1, -1, -1):
        path[:, t : t + 1] = state
        state = torch.where((t < steps)[:, None], state - moves[:, t].gather(1, state), state)
    return path.masked_fill(torch.arange(time, device=path.device) >= steps[:, None], 0), scores


def _read(path: Tensor, found: Tensor, steps: int, tokens: int, score: float) -> Alignment:
    """One row's path as spans: state 2 u + 1 is token u."""
    if score == -float("inf"):
        return Alignment(score, (), float("nan"))
    first, last = [steps] * tokens, [0] * tokens
    peaks = [-float("inf")] * tokens
    for t, (state, log_prob) in enumerate(zip(path[:steps].tolist(), found[:steps].tolist(), strict=True)):
        if state % 2:
            u = state // 2
            first[u], last[u] = min(first[u], t), t + 1
            peaks[u] = max(peaks[u], log_prob)
    confidence = math.exp(sum(peaks) / tokens) if tokens else math.nan
    return Alignment(score, tuple(zip(first, last, strict=True)), confidence)
